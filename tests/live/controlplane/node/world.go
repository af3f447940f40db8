package main

// Everything that runs on the nodes: which pods there are, which scenario each namespace has. It
// must not know what a container does.

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"strconv"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
)

// The knobs.
const (
	// prefix of all annotations.
	prefix = "sim.canaryctl.dev/"
	// behaviourKey on a pod says how this one pod behaves, as a version without `match`.
	behaviourKey = prefix + "behaviour"
	// elsewhereKey on a pod is the address on loopback of a program that stands for its app: what is
	// forwarded to an open port of the pod goes there.
	elsewhereKey = prefix + "elsewhere"
	// cutKey on a node, when "true", cuts it off: it is silent and so are its pods.
	cutKey = prefix + "cut"
	// takenKey on a scenario's ConfigMap is the resourceVersion whose data counts now.
	takenKey = prefix + "taken"
	// refusedKey on a scenario's ConfigMap says why its data does not count.
	refusedKey = prefix + "refused"
	// scenarioName is the name of the ConfigMap, one in a namespace.
	scenarioName = "sim-scenario"
	// scenarioField holds the scenario; speedField divides the kubelets' own waits.
	scenarioField, speedField = "scenario.yaml", "speed"
)

// setting is what a namespace's ConfigMap says.
type setting struct {
	scenario *Scenario
	speed    float64
	since    time.Time
	data     map[string]string
}

type world struct {
	client *kubernetes.Clientset
	events record.EventRecorder
	nodes  map[string]*node

	mu        sync.Mutex
	pods      map[types.NamespacedName]*pod
	settings  map[string]*setting
	overrides map[string]*Version // by text of the annotation; nil for one that is refused
	services  map[types.NamespacedName]*v1.Service
	shares    map[*pod]float64
	addresses int
	pulled    map[string]bool // node and image
	ctx       context.Context
}

// newWorld returns a world without pods.
func newWorld(client *kubernetes.Clientset, events record.EventRecorder, nodes map[string]*node) *world {
	return &world{
		client: client, events: events, nodes: nodes,
		pods: map[types.NamespacedName]*pod{}, settings: map[string]*setting{},
		overrides: map[string]*Version{}, services: map[types.NamespacedName]*v1.Service{},
		shares: map[*pod]float64{}, pulled: map[string]bool{},
	}
}

// watch follows the cluster until ctx ends; returns when the first lists have come.
func (w *world) watch(ctx context.Context) error {
	w.ctx = ctx
	all := informers.NewSharedInformerFactory(w.client, 0)
	maps := informers.NewSharedInformerFactoryWithOptions(w.client, 0,
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector("metadata.name", scenarioName).String()
		}))
	// Scenarios first: a pod must not begin with a behaviour that is not its own.
	scenarios := follow(maps.Core().V1().ConfigMaps().Informer(), w.setScenario, func(m *v1.ConfigMap) {
		w.mu.Lock()
		delete(w.settings, m.Namespace)
		w.mu.Unlock()
		w.nudge(m.Namespace)
	})
	maps.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), scenarios) {
		return ctx.Err()
	}
	synced := []cache.InformerSynced{
		follow(all.Core().V1().Nodes().Informer(), w.setNode, func(*v1.Node) {}),
		follow(all.Core().V1().Services().Informer(), w.setService, func(s *v1.Service) {
			w.mu.Lock()
			defer w.mu.Unlock()
			delete(w.services, types.NamespacedName{Namespace: s.Namespace, Name: s.Name})
		}),
		follow(all.Core().V1().Pods().Informer(), w.setPod, w.dropPod),
	}
	all.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		return ctx.Err()
	}
	return nil
}

// follow calls `set` for every new state of an object and `drop` when it is gone.
func follow[T any](informer cache.SharedIndexInformer, set, drop func(T)) cache.InformerSynced {
	handler, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { set(o.(T)) },
		UpdateFunc: func(_, o any) { set(o.(T)) },
		DeleteFunc: func(o any) {
			if lost, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = lost.Obj
			}
			drop(o.(T))
		},
	})
	if err != nil {
		// Only a stopped informer refuses a handler, and these were just made.
		panic(err)
	}
	return handler.HasSynced
}

func (w *world) setPod(object *v1.Pod) {
	if w.nodes[object.Spec.NodeName] == nil {
		return
	}
	name := types.NamespacedName{Namespace: object.Namespace, Name: object.Name}
	w.mu.Lock()
	known := w.pods[name]
	w.mu.Unlock()
	if known != nil && known.uid == string(object.UID) {
		known.seen(object)
		return
	}
	if known != nil {
		w.dropPod(known.object)
	}
	if object.Status.Phase == v1.PodSucceeded || object.Status.Phase == v1.PodFailed {
		return
	}
	w.admit(name, object)
}

// admit gives a pod an address and a worker.
func (w *world) admit(name types.NamespacedName, object *v1.Pod) {
	p := &pod{
		world: w, key: name, uid: string(object.UID), host: object.Spec.NodeName, object: object, taken: time.Now(),
		wake: make(chan struct{}, 1), gone: make(chan struct{}),
	}
	adopted := object.Status.PodIP != ""
	w.mu.Lock()
	if adopted {
		p.ip, p.taken = object.Status.PodIP, object.Status.StartTime.Time
	} else {
		p.ip = w.freeAddress()
	}
	for i := range object.Spec.Containers {
		spec := &object.Spec.Containers[i]
		p.containers = append(p.containers, newContainer(spec, w.pullEnds(object, spec.Image)))
	}
	w.pods[name] = p
	w.mu.Unlock()
	go func() {
		identity := identify(w.client, object)
		p.mu.Lock()
		p.identity = identity
		p.mu.Unlock()
		if adopted {
			p.adopt(object)
		}
		p.run(w.ctx)
	}()
}

// freeAddress returns an address of 198.18.0.0/16 that no pod has; call it with the lock held.
func (w *world) freeAddress() string {
	used := map[string]bool{}
	for _, p := range w.pods {
		used[p.ip] = true
	}
	for {
		w.addresses = w.addresses%(256*250) + 1
		address := fmt.Sprintf("198.18.%d.%d", (w.addresses-1)/250, (w.addresses-1)%250+1)
		if !used[address] {
			return address
		}
	}
}

// pullEnds returns when an image is there: a first pull takes seconds. Call it with the lock held.
func (w *world) pullEnds(object *v1.Pod, image string) time.Time {
	key := object.Spec.NodeName + " " + image
	takes := 300 * time.Millisecond
	if !w.pulled[key] {
		takes = 1500 * time.Millisecond
	}
	w.pulled[key] = true
	speed := 1.0
	if s := w.settings[object.Namespace]; s != nil {
		speed = s.speed
	}
	return time.Now().Add(time.Duration(float64(takes) / speed))
}

func (w *world) dropPod(object *v1.Pod) {
	name := types.NamespacedName{Namespace: object.Namespace, Name: object.Name}
	w.mu.Lock()
	defer w.mu.Unlock()
	if p := w.pods[name]; p != nil && p.uid == string(object.UID) {
		close(p.gone)
		delete(w.pods, name)
		delete(w.shares, p)
	}
}

// find returns a pod by name.
func (w *world) find(name types.NamespacedName) *pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pods[name]
}

// all returns the pods of a namespace, or of all when it is empty.
func (w *world) all(namespace string) []*pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	var pods []*pod
	for name, p := range w.pods {
		if namespace == "" || name.Namespace == namespace {
			pods = append(pods, p)
		}
	}
	return pods
}

func (w *world) nudge(namespace string) {
	for _, p := range w.all(namespace) {
		p.nudge()
	}
}

func (w *world) setService(s *v1.Service) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.services[types.NamespacedName{Namespace: s.Namespace, Name: s.Name}] = s
}

func (w *world) setNode(object *v1.Node) {
	if n := w.nodes[object.Name]; n != nil && n.cut.Swap(object.Annotations[cutKey] == "true") != n.cut.Load() {
		w.nudge("")
	}
}

func (w *world) cut(node string) bool { return w.nodes[node].cut.Load() }

func (w *world) hostIP(node string) string { return w.nodes[node].address }

func (w *world) speed(namespace string) float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.settings[namespace]; s != nil {
		return s.speed
	}
	return 1
}

// setScenario takes a scenario over, or says on the ConfigMap why not.
func (w *world) setScenario(m *v1.ConfigMap) {
	w.mu.Lock()
	old := w.settings[m.Namespace]
	w.mu.Unlock()
	if old != nil && equal(old.data, m.Data) && m.Annotations[takenKey] != "" {
		return
	}
	next, err := readSetting(m.Data)
	note := map[string]any{takenKey: m.ResourceVersion, refusedKey: nil}
	if err != nil {
		if m.Annotations[refusedKey] == err.Error() {
			return
		}
		note = map[string]any{takenKey: nil, refusedKey: err.Error()}
		log.Printf("scenario of %s: %v", m.Namespace, err)
	} else {
		w.mu.Lock()
		w.settings[m.Namespace] = next
		w.mu.Unlock()
		w.nudge(m.Namespace)
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": note}})
	if err != nil {
		panic(err) // strings only
	}
	_, err = w.client.CoreV1().ConfigMaps(m.Namespace).Patch(w.ctx, m.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		log.Printf("scenario of %s: %v", m.Namespace, err)
	}
}

func readSetting(data map[string]string) (*setting, error) {
	s := &setting{speed: 1, since: time.Now(), data: data}
	for key, value := range data {
		var err error
		switch key {
		case scenarioField:
			s.scenario, err = parseScenario(value)
		case speedField:
			if s.speed, err = strconv.ParseFloat(value, 64); err != nil || !(s.speed > 0 && s.speed <= 1000) {
				err = fmt.Errorf("%q is not a number above 0 and up to 1000", value)
			}
		default:
			err = fmt.Errorf("unknown key: there are %s and %s", scenarioField, speedField)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	if s.scenario == nil {
		s.scenario = &Scenario{}
	}
	return s, nil
}

func equal(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for key := range a {
		if other, known := b[key]; !known || a[key] != other {
			return false
		}
	}
	return true
}

// describe returns how a pod behaves and which of its containers that is about: its annotation,
// else the first version that matches, else well.
func (w *world) describe(object *v1.Pod, identity *identity) (*Version, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if text, set := object.Annotations[behaviourKey]; set {
		if version := w.override(object, text); version != nil {
			return version, 0
		}
	}
	if s := w.settings[object.Namespace]; s != nil {
		for i := range s.scenario.Versions {
			version := &s.scenario.Versions[i]
			if at := version.Match.matches(object, identity); at >= 0 {
				return version, at
			}
		}
	}
	return &well, 0
}

// override reads an annotation, once; call it with the lock held.
func (w *world) override(object *v1.Pod, text string) *Version {
	version, known := w.overrides[text]
	if !known {
		var err error
		if version, err = parseVersion(text); err != nil {
			version = nil
			go w.events.Event(reference(object, object.Spec.Containers[0].Name), v1.EventTypeWarning,
				"BehaviourRefused", behaviourKey+": "+err.Error())
		}
		w.overrides[text] = version
	}
	return version
}
