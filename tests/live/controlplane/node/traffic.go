package main

// The users: requests arrive, are split over the ready pods of a Service, and are counted by the
// apps. They need no socket, so that a rate of thousands costs nothing. They write no objects.

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// tick is how often arrivals are drawn.
const tick = 200 * time.Millisecond

// serveUsers lets requests arrive until ctx ends.
func (w *world) serveUsers(ctx context.Context) {
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(tick):
		}
		now := time.Now()
		length := now.Sub(last)
		last = now
		w.mu.Lock()
		settings := map[string]*setting{}
		for namespace, s := range w.settings {
			settings[namespace] = s
		}
		w.mu.Unlock()
		for namespace, s := range settings {
			if s.scenario.Traffic != nil {
				w.arrive(namespace, s, now, length)
			}
		}
	}
}

// arrive spreads the requests of one tick over the pods of the Service they are meant for.
func (w *world) arrive(namespace string, s *setting, now time.Time, length time.Duration) {
	traffic := s.scenario.Traffic
	ready := w.behind(namespace, traffic.Service)
	w.mu.Lock()
	for p := range w.shares {
		if p.key.Namespace == namespace {
			delete(w.shares, p)
		}
	}
	for _, p := range ready {
		w.shares[p] = 1 / float64(len(ready))
	}
	w.mu.Unlock()
	if len(ready) == 0 {
		return
	}
	requests := poisson(traffic.rate(now.Sub(s.since)) * length.Seconds())
	got := make([]int, len(ready))
	for range requests {
		got[rand.IntN(len(ready))]++
	}
	for i, p := range ready {
		p.serve(got[i], w.shareOf(p))
	}
}

// behind returns the ready pods of a Service, or of the one that selects most of them.
func (w *world) behind(namespace, service string) []*pod {
	_, wanted, slash := strings.Cut(service, "/")
	if !slash {
		wanted = service
	}
	var best []*pod
	bestName := ""
	w.mu.Lock()
	services := map[types.NamespacedName]*v1.Service{}
	for name, s := range w.services {
		if name.Namespace == namespace && (wanted == "" || name.Name == wanted) && len(s.Spec.Selector) > 0 {
			services[name] = s
		}
	}
	w.mu.Unlock()
	pods := w.all(namespace)
	for name, s := range services {
		selector := labels.SelectorFromSet(s.Spec.Selector)
		var ready []*pod
		for _, p := range pods {
			p.mu.Lock()
			selected := selector.Matches(labels.Set(p.object.Labels))
			p.mu.Unlock()
			if selected && p.isReady() {
				ready = append(ready, p)
			}
		}
		if len(ready) > len(best) || len(ready) == len(best) && name.Name < bestName {
			best, bestName = ready, name.Name
		}
	}
	return best
}

// shareOf returns the share of all requests that goes to the pods of the same version.
func (w *world) shareOf(p *pod) float64 {
	version := p.version()
	w.mu.Lock()
	shares := map[*pod]float64{}
	for other, share := range w.shares {
		shares[other] = share
	}
	w.mu.Unlock()
	sum := 0.0
	for other, share := range shares {
		if other.key.Namespace == p.key.Namespace && other.version() == version {
			sum += share
		}
	}
	return sum
}

// serve lets a pod answer some requests.
func (p *pod) serve(requests int, share float64) {
	version, lived := p.version(), p.lived()
	if requests == 0 || lived == 0 || !version.answers(lived) || p.world.cut(p.host) {
		return
	}
	chance := version.errorRate(p.uid, lived, share)
	p.mu.Lock()
	defer p.mu.Unlock()
	fraud := binomial(requests, float64(version.Fraud))
	failed := binomial(requests-fraud, chance)
	p.counters.total += requests
	p.counters.fraud += fraud
	p.counters.failed += failed
	p.counters.successful += requests - fraud - failed
	for range requests - fraud - failed {
		p.counters.observe(version.latency(lived))
	}
}

// rate returns requests per second at a time since the scenario was taken.
func (t *Traffic) rate(at time.Duration) float64 {
	rate := t.Rate
	if t.Wave != nil {
		turn := at.Seconds() / time.Duration(t.Wave.Period).Seconds()
		rate *= 1 + float64(t.Wave.Amplitude)*math.Sin(2*math.Pi*turn)
	}
	for _, burst := range t.Bursts {
		if at >= time.Duration(burst.At) && at < time.Duration(burst.At+burst.Lasts) {
			rate *= burst.Times
		}
	}
	return rate
}
