package main

import (
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// life drives one container through virtual time.
type life struct {
	s *surroundings
	c *container
	// seen are the states it went through, each once.
	seen   []string
	events []string
}

func newLife(t *testing.T, spec v1.Container, behaviour string) *life {
	t.Helper()
	spec.Name, spec.Image = "app", "registry.example/app:1"
	begin := time.Now()
	l := &life{c: newContainer(&spec, begin)}
	l.s = &surroundings{
		now: begin, version: version(t, behaviour), speed: 1,
		problem: func(*v1.Container) string { return "" },
		note:    func(h happening) { l.events = append(l.events, h.reason) },
	}
	return l
}

func (l *life) state() string {
	status := l.c.status("uid")
	switch {
	case status.State.Waiting != nil:
		return status.State.Waiting.Reason
	case status.State.Terminated != nil:
		return status.State.Terminated.Reason
	case status.Ready:
		return "ready"
	default:
		return "running"
	}
}

func (l *life) run(seconds int) {
	for range seconds * 10 {
		l.c.step(l.s)
		if state := l.state(); len(l.seen) == 0 || l.seen[len(l.seen)-1] != state {
			l.seen = append(l.seen, state)
		}
		l.s.now = l.s.now.Add(100 * time.Millisecond)
	}
}

func (l *life) expect(t *testing.T, states ...string) {
	t.Helper()
	if len(l.seen) != len(states) {
		t.Fatalf("%v, not %v", l.seen, states)
	}
	for i := range states {
		if l.seen[i] != states[i] {
			t.Fatalf("%v, not %v", l.seen, states)
		}
	}
}

func httpProbe(initial, period, failures int32) *v1.Probe {
	return &v1.Probe{InitialDelaySeconds: initial, PeriodSeconds: period, FailureThreshold: failures}
}

func TestAContainerIsReadyWhenItsProbePasses(t *testing.T) {
	l := newLife(t, v1.Container{ReadinessProbe: httpProbe(10, 5, 3)}, "start_delay: 12s")
	l.run(14)
	l.expect(t, "running")
	l.run(2)
	l.expect(t, "running", "ready")
}

func TestACrashLoopBacksOffLongerEachTime(t *testing.T) {
	l := newLife(t, v1.Container{}, "crash: {after: 5s}")
	l.run(200)
	if l.c.restarts != 5 || l.c.wait != 160*time.Second {
		t.Fatalf("%d restarts, back-off %v", l.c.restarts, l.c.wait)
	}
	if l.c.last.ExitCode != 1 || l.seen[1] != "Error" || l.seen[4] != "CrashLoopBackOff" {
		t.Fatalf("%v %+v", l.seen, l.c.last)
	}
}

func TestAContainerKilledForMemorySaysSo(t *testing.T) {
	l := newLife(t, v1.Container{}, "crash: {after: 5s, oom: true}")
	l.run(7)
	if l.c.last.ExitCode != 137 || l.c.last.Reason != "OOMKilled" {
		t.Fatalf("%+v", l.c.last)
	}
}

func TestAnImageThatComesBackIsPulled(t *testing.T) {
	l := newLife(t, v1.Container{}, "image_missing: true")
	l.run(5)
	l.s.version = &well
	l.run(10)
	l.expect(t, "ErrImagePull", "ImagePullBackOff", "ready")
}

func TestAMissingSecretIsAConfigError(t *testing.T) {
	l := newLife(t, v1.Container{}, "{}")
	l.s.problem = func(*v1.Container) string { return `secret "keys" not found` }
	l.run(5)
	l.expect(t, "CreateContainerConfigError")
}

func TestReadinessFollowsTheKnobInTheMiddleOfARun(t *testing.T) {
	l := newLife(t, v1.Container{ReadinessProbe: httpProbe(0, 2, 3)}, "{}")
	l.run(4)
	l.s.version = version(t, "ready: never")
	l.run(8)
	l.s.version = &well
	l.run(4)
	l.expect(t, "running", "ready", "running", "ready")
}

func TestAContainerThatHangsIsKilledByItsLivenessProbe(t *testing.T) {
	l := newLife(t, v1.Container{LivenessProbe: httpProbe(0, 2, 3)}, "hang_after: 10s")
	l.run(20)
	if l.c.restarts != 1 || l.c.last.ExitCode != 137 {
		t.Fatalf("%d restarts, %+v", l.c.restarts, l.c.last)
	}
}

func TestAStartupProbeHoldsTheOthersBack(t *testing.T) {
	l := newLife(t, v1.Container{
		StartupProbe: httpProbe(0, 1, 30), LivenessProbe: httpProbe(0, 1, 1), ReadinessProbe: httpProbe(0, 1, 1),
	}, "start_delay: 5s")
	l.run(10)
	l.expect(t, "running", "ready")
	if l.c.restarts != 0 {
		t.Fatalf("%d restarts", l.c.restarts)
	}
}
