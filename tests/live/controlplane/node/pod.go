package main

// One pod on a node: its worker lets its containers live, opens and closes its ports, and tells
// the API server. It must not decide how many pods there are, nor where.

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

const (
	// How long a container takes to end after SIGTERM unless its version says so.
	stopTakes = 2 * time.Second
	// How long to wait after the API server failed to answer.
	retryAfter = 500 * time.Millisecond
	// Longest sleep of a worker: what changes without a sign (a flapping readiness without a
	// probe, say) is seen by then.
	longestSleep = 5 * time.Second
)

type pod struct {
	world *world
	key   types.NamespacedName
	uid   string
	host  string // name of its node
	ip    string
	taken time.Time
	// wake tells the worker that something changed.
	wake chan struct{}
	// gone ends the worker: the object is not there any more.
	gone chan struct{}

	// Guards what follows: the worker writes, apps and users read.
	mu         sync.Mutex
	object     *v1.Pod // as last seen or written
	identity   identity
	containers []*container
	counters   counters
	stopping   time.Time
	ports      *listeners
}

// seen takes over what a watch brought, unless the worker has written since.
func (p *pod) seen(object *v1.Pod) {
	p.mu.Lock()
	if newer(object.ResourceVersion, p.object.ResourceVersion) {
		p.object = object
	}
	p.mu.Unlock()
	p.nudge()
}

func (p *pod) nudge() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// newer compares resourceVersions: numbers of growing length.
func newer(a, b string) bool { return len(a) > len(b) || len(a) == len(b) && a > b }

// version returns how the pod behaves now.
func (p *pod) version() *Version {
	version, _ := p.described()
	return version
}

// described returns how the pod behaves now and which of its containers that is about.
func (p *pod) described() (*Version, int) {
	p.mu.Lock()
	object, identity := p.object, p.identity
	p.mu.Unlock()
	return p.world.describe(object, &identity)
}

// main returns the container that is the app; call it with the lock held.
func (p *pod) main() *container {
	_, at := p.world.describe(p.object, &p.identity)
	return p.containers[at]
}

// lived returns the age of the app's container; zero when it does not run.
func (p *pod) lived() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.main(); c.stage == running {
		return time.Since(c.since)
	}
	return 0
}

func (p *pod) counted() counters {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counters
}

func (p *pod) count(change func(*counters)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.counters)
}

// address returns where a port of the pod can be reached on loopback.
func (p *pod) address(port int32) (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ports == nil {
		return "", false
	}
	address, open := p.ports.open[port]
	if elsewhere := p.object.Annotations[elsewhereKey]; open && elsewhere != "" {
		return elsewhere, true
	}
	return address, open
}

// isReady returns whether the API server was told that the pod is ready.
func (p *pod) isReady() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, condition := range p.object.Status.Conditions {
		if condition.Type == v1.PodReady {
			return condition.Status == v1.ConditionTrue && p.object.DeletionTimestamp == nil
		}
	}
	return false
}

// run lets the pod live until its object is gone.
func (p *pod) run(ctx context.Context) {
	defer p.closePorts()
	for {
		pause, over := p.turn(ctx)
		if over {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-p.gone:
			return
		case <-p.wake:
		case <-time.After(pause):
		}
	}
}

// adopt takes over a pod that an earlier run of this program started; its counters begin anew.
func (p *pod) adopt(object *v1.Pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &surroundings{now: time.Now(), version: &well, speed: 1, note: func(happening) {}}
	for i, c := range p.containers {
		if i >= len(object.Status.ContainerStatuses) {
			return
		}
		known := object.Status.ContainerStatuses[i]
		c.restarts = known.RestartCount
		c.last = known.LastTerminationState.Terminated
		if c.restarts > 0 {
			c.wait, c.lastRun = 0, c.restarts-1
		}
		if known.State.Running != nil {
			c.start(s)
			c.since, c.ready = known.State.Running.StartedAt.Time, known.Ready
			c.started = known.Started != nil && *known.Started
		}
	}
}

// turn does what is due; returns how long nothing will be, and whether the pod is gone.
func (p *pod) turn(ctx context.Context) (time.Duration, bool) {
	p.mu.Lock()
	object := p.object
	p.mu.Unlock()
	if p.world.cut(p.host) {
		p.closePorts()
		return longestSleep, false
	}
	version, at := p.described()
	due := p.step(object, version, at)
	p.syncPorts(version, at)
	if err := p.tell(ctx); err != nil {
		if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			// Deleted, or another pod of this name: the watch will say which.
			return retryAfter, false
		}
		log.Printf("pod %s/%s: %v", object.Namespace, object.Name, err)
		return retryAfter, false
	}
	if p.ended() {
		return p.remove(ctx, object)
	}
	pause := longestSleep
	if !due.IsZero() {
		pause = min(pause, max(time.Until(due), time.Millisecond))
	}
	return pause, false
}

// step lets every container do what is due; returns when something is due again.
func (p *pod) step(object *v1.Pod, version *Version, at int) time.Time {
	var due time.Time
	for i, c := range p.containers {
		s := &surroundings{
			now: time.Now(), version: &well, speed: p.world.speed(object.Namespace),
			problem: func(spec *v1.Container) string { return missing(p.world.client, object.Namespace, spec) },
			note: func(h happening) {
				p.world.events.Event(reference(object, c.spec.Name), h.kind, h.reason, h.message)
			},
		}
		if i == at {
			s.version = version
		}
		if object.DeletionTimestamp != nil && p.stopping.IsZero() && i == 0 {
			p.stop(object, version, s)
		}
		// Only this worker writes: a copy is stepped without the lock, since making a container
		// asks the API server.
		next := *c
		switch {
		case p.stopping.IsZero():
			next.step(s)
		case !p.stopping.After(s.now):
			code, reason := p.exitCode(object, version)
			next.finish(s.now, code, reason)
		}
		p.mu.Lock()
		if next.since != c.since && i == at {
			p.counters = counters{}
		}
		*c = next
		p.mu.Unlock()
		if p.stopping.IsZero() {
			due = earlier(due, c.due(s.version))
		}
	}
	if !p.stopping.IsZero() {
		due = p.stopping
	}
	return due
}

// stop sends SIGTERM: the containers go on until they are done or the grace period is over.
func (p *pod) stop(object *v1.Pod, version *Version, s *surroundings) {
	for _, c := range p.containers {
		if c.stage == running {
			p.world.events.Event(reference(object, c.spec.Name), v1.EventTypeNormal, "Killing",
				"Stopping container "+c.spec.Name)
		}
	}
	takes := stopTakes
	if version.Stop != nil {
		takes = time.Duration(*version.Stop)
	}
	takes = s.span(min(takes, grace(object)))
	p.mu.Lock()
	p.stopping = s.now.Add(takes)
	p.mu.Unlock()
}

func (p *pod) exitCode(object *v1.Pod, version *Version) (int32, string) {
	if version.Stop != nil && time.Duration(*version.Stop) > grace(object) {
		return 137, "Error"
	}
	return 0, "Completed"
}

func grace(object *v1.Pod) time.Duration {
	if object.DeletionGracePeriodSeconds != nil {
		return time.Duration(*object.DeletionGracePeriodSeconds) * time.Second
	}
	return 30 * time.Second
}

// ended returns whether all containers have ended for good.
func (p *pod) ended() bool {
	for _, c := range p.containers {
		if c.stage != over {
			return false
		}
	}
	return true
}

// remove tells the API server that nothing is left of the pod.
func (p *pod) remove(ctx context.Context, object *v1.Pod) (time.Duration, bool) {
	now, uid := int64(0), object.UID
	err := p.world.client.CoreV1().Pods(object.Namespace).Delete(ctx, object.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &uid},
	})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		log.Printf("pod %s/%s: delete: %v", object.Namespace, object.Name, err)
	}
	// A finalizer may hold the object; its end comes by the watch.
	return longestSleep, false
}

// syncPorts opens the ports when the app answers and closes them when it has ended.
func (p *pod) syncPorts(version *Version, at int) {
	p.mu.Lock()
	c := p.containers[at]
	answers := c.stage == running && time.Since(c.since) >= time.Duration(version.StartDelay)
	open, ports := p.ports != nil, containerPorts(p.object)
	fresh := open && c.stage == running && p.ports.since != c.since
	since := c.since
	p.mu.Unlock()
	if open && (!answers || fresh) {
		p.closePorts()
		open = false
	}
	if answers && !open {
		opened, err := listen(ports, p)
		if err != nil {
			log.Printf("pod %s: open its ports: %v", p.key, err)
			return
		}
		opened.since = since
		p.mu.Lock()
		p.ports = opened
		p.mu.Unlock()
	}
}

func (p *pod) closePorts() {
	p.mu.Lock()
	open := p.ports
	p.ports = nil
	p.mu.Unlock()
	if open != nil {
		open.close()
	}
}

// tell brings the object's status up to date.
func (p *pod) tell(ctx context.Context) error {
	p.mu.Lock()
	object := p.object
	wanted := p.status()
	p.mu.Unlock()
	if equality.Semantic.DeepEqual(object.Status, wanted) {
		return nil
	}
	patch, err := statusPatch(object, wanted)
	if err != nil {
		return err
	}
	written, err := p.world.client.CoreV1().Pods(object.Namespace).Patch(ctx, object.Name,
		types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if newer(written.ResourceVersion, p.object.ResourceVersion) {
		p.object = written
	}
	return nil
}

// statusPatch returns the difference as a kubelet sends it: bound to the pod's uid.
func statusPatch(object *v1.Pod, wanted v1.PodStatus) ([]byte, error) {
	old, err := json.Marshal(v1.Pod{Status: object.Status})
	if err != nil {
		return nil, err
	}
	next := v1.Pod{Status: wanted}
	next.UID = object.UID
	data, err := json.Marshal(next)
	if err != nil {
		return nil, err
	}
	patch, err := strategicpatch.CreateTwoWayMergePatch(old, data, v1.Pod{})
	if err != nil {
		return nil, fmt.Errorf("status of pod %s/%s: %w", object.Namespace, object.Name, err)
	}
	return patch, nil
}

func containerPorts(object *v1.Pod) []int32 {
	var ports []int32
	for i := range object.Spec.Containers {
		for _, port := range object.Spec.Containers[i].Ports {
			ports = append(ports, port.ContainerPort)
		}
	}
	return ports
}

// reference returns what an event about a container points to.
func reference(object *v1.Pod, container string) *v1.ObjectReference {
	return &v1.ObjectReference{
		APIVersion: "v1", Kind: "Pod", Namespace: object.Namespace, Name: object.Name, UID: object.UID,
		ResourceVersion: object.ResourceVersion, FieldPath: fmt.Sprintf("spec.containers{%s}", container),
	}
}
