package main

// When a probe looks, and what its looks add up to. It must not know what is probed.

import (
	"time"

	v1 "k8s.io/api/core/v1"
)

type verdict int

const (
	undecided verdict = iota
	passing
	failing
)

// prober is one probe of one running container; nil for none.
type prober struct {
	period             time.Duration
	successes, wanted  int32
	failures, patience int32
	next               time.Time
}

func newProber(probe *v1.Probe, s *surroundings) *prober {
	if probe == nil {
		return nil
	}
	or := func(value, fallback int32) int32 {
		if value <= 0 {
			return fallback
		}
		return value
	}
	seconds := func(n int32) time.Duration { return s.span(time.Duration(n) * time.Second) }
	return &prober{
		period:   seconds(or(probe.PeriodSeconds, 10)),
		wanted:   or(probe.SuccessThreshold, 1),
		patience: or(probe.FailureThreshold, 3),
		next:     s.now.Add(seconds(probe.InitialDelaySeconds)),
	}
}

func (p *prober) due() time.Time {
	if p == nil {
		return time.Time{}
	}
	return p.next
}

// look probes if it is time, and returns the verdict this look led to and whether it looked.
func (p *prober) look(s *surroundings, good bool) (verdict, bool) {
	if p == nil || p.next.After(s.now) {
		return undecided, false
	}
	// From now and not from the last time: a machine that slept does not make up for it.
	p.next = s.now.Add(p.period)
	if good {
		p.failures = 0
		p.successes++
		if p.successes >= p.wanted {
			return passing, true
		}
	} else {
		p.successes = 0
		p.failures++
		if p.failures >= p.patience {
			return failing, true
		}
	}
	return undecided, true
}
