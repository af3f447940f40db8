package main

// One container: pulling, starting, being probed, crashing, backing off. It knows time and its
// version; it must not write objects.

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// First wait after a failed pull or a second crash, and the longest; the kubelet's own.
	firstWait   = 10 * time.Second
	longestWait = 300 * time.Second
	// A container that ran this long starts again without a wait.
	forgiven = 600 * time.Second
	// How long a failed pull is shown before the wait.
	pullShown = 3 * time.Second
	// How often a container that cannot be made is tried again.
	configRetry = 12 * time.Second
	// How long a container that ended is shown before it is started again.
	endShown = time.Second
)

type stage int

const (
	creating stage = iota // the image is pulled or the container is made
	stuck                 // waiting with a reason
	running
	ended // has just ended, will start again
	over  // has ended for good: the pod is being deleted
)

// A happening is something worth an event.
type happening struct{ kind, reason, message string }

// surroundings is what a container meets when its turn comes.
type surroundings struct {
	now     time.Time
	version *Version
	speed   float64
	// problem says why a container cannot be made, in the kubelet's words.
	problem func(*v1.Container) string
	note    func(happening)
}

// span returns a time of the kubelet as long as this cluster lets it be.
func (s *surroundings) span(d time.Duration) time.Duration {
	return time.Duration(float64(d) / s.speed)
}

func (s *surroundings) warn(reason, message string) {
	s.note(happening{v1.EventTypeWarning, reason, message})
}

func (s *surroundings) tell(reason, message string) {
	s.note(happening{v1.EventTypeNormal, reason, message})
}

type container struct {
	spec            *v1.Container
	stage           stage
	reason, message string
	since           time.Time // running since
	next            time.Time // next turn while it does not run
	ready, started  bool
	restarts        int32
	last            *v1.ContainerStateTerminated
	lastRun         int32         // restarts when it last ended
	wait            time.Duration // last back-off; negative before the first end
	startup         *prober
	readiness       *prober
	liveness        *prober
	// Drawn anew at each start: whether and when within its span it crashes.
	lot, factor float64
	logs        []string
}

func newContainer(spec *v1.Container, pulled time.Time) *container {
	return &container{spec: spec, stage: creating, next: pulled, wait: -1}
}

// due returns when something happens next; zero for never.
func (c *container) due(v *Version) time.Time {
	if c.stage == over {
		return time.Time{}
	}
	if c.stage != running {
		return c.next
	}
	due := c.crashAt(v)
	for _, probe := range []*prober{c.startup, c.readiness, c.liveness} {
		due = earlier(due, probe.due())
	}
	if at := c.since.Add(time.Duration(v.StartDelay)); at.After(time.Now()) {
		due = earlier(due, at)
	}
	return due
}

// crashAt returns when it ends by itself; zero for never.
func (c *container) crashAt(v *Version) time.Time {
	if v.Crash == nil || c.lot >= float64(v.Crash.Chance) {
		return time.Time{}
	}
	return c.since.Add(time.Duration(float64(v.Crash.After) * c.factor))
}

// step does what is due.
func (c *container) step(s *surroundings) {
	switch c.stage {
	case running:
		c.live(s)
		return
	case over:
		return
	default:
	}
	if c.next.After(s.now) {
		return
	}
	switch {
	case c.stage == creating:
		c.create(s)
	case c.stage == ended:
		c.afterEnd(s)
	case c.reason == "ErrImagePull":
		message := fmt.Sprintf("Back-off pulling image %q: ErrImagePull: %s", c.spec.Image, c.message)
		s.tell("BackOff", fmt.Sprintf("Back-off pulling image %q", c.spec.Image))
		s.warn("Failed", "Error: ImagePullBackOff")
		c.stick("ImagePullBackOff", message, s.now.Add(s.span(c.nextWait())))
	case c.reason == "CrashLoopBackOff":
		c.restarts++
		c.start(s)
	default:
		c.create(s)
	}
}

func (c *container) stick(reason, message string, next time.Time) {
	c.stage, c.reason, c.message, c.next = stuck, reason, message, next
}

func (c *container) create(s *surroundings) {
	image := c.spec.Image
	if s.version.ImageMissing {
		message := fmt.Sprintf("failed to pull and unpack image %q: failed to resolve reference %q: %s: not found", image, image, image)
		s.tell("Pulling", fmt.Sprintf("Pulling image %q", image))
		s.warn("Failed", fmt.Sprintf("Failed to pull image %q: %s", image, message))
		s.warn("Failed", "Error: ErrImagePull")
		c.stick("ErrImagePull", message, s.now.Add(s.span(pullShown)))
		return
	}
	if problem := s.problem(c.spec); problem != "" {
		s.warn("Failed", "Error: "+problem)
		c.stick("CreateContainerConfigError", problem, s.now.Add(s.span(configRetry)))
		return
	}
	s.tell("Pulled", fmt.Sprintf("Container image %q already present on machine", image))
	c.start(s)
}

func (c *container) start(s *surroundings) {
	s.tell("Created", "Container created")
	s.tell("Started", "Container started")
	c.stage, c.reason, c.message = running, "", ""
	c.since = s.now
	c.startup = newProber(c.spec.StartupProbe, s)
	c.readiness = newProber(c.spec.ReadinessProbe, s)
	c.liveness = newProber(c.spec.LivenessProbe, s)
	c.started = c.startup == nil
	c.ready = c.started && c.readiness == nil
	c.lot, c.factor = rand.Float64(), 0.8+0.4*rand.Float64()
	c.logs = nil
	c.log(s.now, "started")
}

// live probes, and lets it crash.
func (c *container) live(s *surroundings) {
	lived := s.now.Sub(c.since)
	if at := c.crashAt(s.version); !at.IsZero() && !at.After(s.now) {
		if s.version.Crash.OOM {
			c.end(s, 137, "OOMKilled")
		} else {
			c.end(s, 1, "Error")
		}
		return
	}
	answers := s.version.answers(lived)
	why := "HTTP probe failed with statuscode: 503"
	if lived < time.Duration(s.version.StartDelay) {
		why = "connect: connection refused"
	} else if !answers {
		why = "context deadline exceeded"
	}
	if !c.started {
		verdict, looked := c.startup.look(s, answers)
		if looked && !answers {
			s.warn("Unhealthy", "Startup probe failed: "+why)
		}
		if verdict == failing {
			c.kill(s, "startup")
			return
		}
		c.started = verdict == passing
		if !c.started {
			return
		}
		// What waits for the startup probe counts its own delay from the start all the same.
		c.ready = c.readiness == nil
	}
	passes := answers && s.version.passes(lived)
	verdict, looked := c.readiness.look(s, passes)
	if looked && !passes {
		s.warn("Unhealthy", "Readiness probe failed: "+why)
	}
	switch verdict {
	case passing:
		c.ready = true
	case failing:
		c.ready = false
	case undecided:
	}
	verdict, looked = c.liveness.look(s, answers)
	if looked && !answers {
		s.warn("Unhealthy", "Liveness probe failed: "+why)
	}
	if verdict == failing {
		c.kill(s, "liveness")
	}
}

func (c *container) kill(s *surroundings, probe string) {
	s.tell("Killing", fmt.Sprintf("Container %s failed %s probe, will be restarted", c.spec.Name, probe))
	c.end(s, 137, "Error")
}

func (c *container) end(s *surroundings, code int32, reason string) {
	if s.now.Sub(c.since) >= forgiven {
		c.wait = -1
	}
	c.finish(s.now, code, reason)
	c.stage, c.next = ended, s.now.Add(s.span(endShown))
}

// finish ends it for good.
func (c *container) finish(now time.Time, code int32, reason string) {
	c.log(now, fmt.Sprintf("ended with code %d", code))
	if c.stage == running {
		c.last = &v1.ContainerStateTerminated{
			ExitCode: code, Reason: reason,
			StartedAt: metav1.NewTime(c.since), FinishedAt: metav1.NewTime(now),
		}
	}
	c.lastRun = c.restarts
	c.stage, c.ready, c.started = over, false, false
}

// afterEnd starts again at once after the first crash, and after a growing wait later.
func (c *container) afterEnd(s *surroundings) {
	if c.wait < 0 {
		c.wait = 0
		c.restarts++
		c.start(s)
		return
	}
	wait := c.nextWait()
	s.warn("BackOff", fmt.Sprintf("Back-off restarting failed container %s", c.spec.Name))
	message := fmt.Sprintf("back-off %s restarting failed container=%s", wait, c.spec.Name)
	c.stick("CrashLoopBackOff", message, s.now.Add(s.span(wait)))
}

func (c *container) nextWait() time.Duration {
	if c.wait <= 0 {
		c.wait = firstWait
	} else {
		c.wait = min(2*c.wait, longestWait)
	}
	return c.wait
}

func (c *container) wasStarted() bool { return c.last != nil || c.stage == running }

func (c *container) log(now time.Time, line string) {
	c.logs = append(c.logs, now.UTC().Format(time.RFC3339Nano)+" "+line)
}

// status returns its entry in containerStatuses.
func (c *container) status(uid string) v1.ContainerStatus {
	id := func(run int32) string { return fmt.Sprintf("containerd://%s-%s-%d", uid, c.spec.Name, run) }
	started := c.started
	status := v1.ContainerStatus{
		Name: c.spec.Name, Image: c.spec.Image, Ready: c.ready, Started: &started, RestartCount: c.restarts,
	}
	if c.wasStarted() {
		status.ContainerID, status.ImageID = id(c.restarts), imageID(c.spec.Image)
	}
	var last *v1.ContainerStateTerminated
	if c.last != nil {
		last = c.last.DeepCopy()
		last.ContainerID = id(c.lastRun)
	}
	switch c.stage {
	case creating:
		status.State.Waiting = &v1.ContainerStateWaiting{Reason: "ContainerCreating"}
	case stuck:
		status.State.Waiting = &v1.ContainerStateWaiting{Reason: c.reason, Message: c.message}
	case running:
		status.State.Running = &v1.ContainerStateRunning{StartedAt: metav1.NewTime(c.since)}
	case ended, over:
		if last == nil {
			status.State.Waiting = &v1.ContainerStateWaiting{Reason: "ContainerCreating"}
		}
		status.State.Terminated, last = last, nil
	}
	status.LastTerminationState.Terminated = last
	return status
}

// imageID returns a digest that depends on the image's name alone.
func imageID(image string) string {
	repository := image
	if at := strings.LastIndexByte(image, ':'); at > strings.LastIndexByte(image, '/') {
		repository = image[:at]
	}
	hash := fnv.New128a()
	hash.Write([]byte(image))
	first := hash.Sum(nil)
	hash.Write(first)
	return fmt.Sprintf("%s@sha256:%x%x", repository, first, hash.Sum(nil))
}

// earlier returns the earlier of two times, where zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
