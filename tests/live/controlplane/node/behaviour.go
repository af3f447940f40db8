package main

// How a version behaves at one moment: chances and times. Nothing here counts or writes.

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
)

// errorRate returns the chance that a request fails on a pod of this age and share of the traffic.
func (v *Version) errorRate(uid string, lived time.Duration, share float64) float64 {
	e := &v.Errors
	inTurn := e.Every == nil || lived%time.Duration(*e.Every) < time.Duration(*e.Lasts)
	bad := lived >= time.Duration(e.After) &&
		(e.Above == nil || share > float64(*e.Above)) &&
		(e.Pods == nil || lot(uid) < float64(*e.Pods)) &&
		inTurn
	if bad {
		return math.Max(float64(e.Rate), float64(e.Base))
	}
	return float64(e.Base)
}

// latency draws how long one request takes on a container of this age.
func (v *Version) latency(lived time.Duration) time.Duration {
	const z99 = 2.326347874040841 // 99th percentile of the standard normal distribution
	l := &v.Latency
	sigma := math.Log(float64(l.P99)/float64(l.P50)) / z99
	took := float64(l.P50) * math.Min(math.Exp(sigma*rand.NormFloat64()), 1000)
	if lived < time.Duration(l.WarmAfter) {
		took *= l.Cold
	}
	return time.Duration(took)
}

// passes returns whether the readiness probe of a container of this age would pass.
func (v *Version) passes(lived time.Duration) bool {
	switch v.Ready {
	case readyNever:
		return false
	case readyFlaps:
		return int(lived.Minutes())%2 == 0
	default:
		return true
	}
}

// answers returns whether a container of this age answers requests at all.
func (v *Version) answers(lived time.Duration) bool {
	return lived >= time.Duration(v.StartDelay) && !v.hangs(lived)
}

func (v *Version) hangs(lived time.Duration) bool {
	return v.HangAfter != nil && lived >= time.Duration(*v.HangAfter)
}

// matches returns which container of a pod a version is about, or -1 when it is about another pod.
func (m *Match) matches(pod *v1.Pod, identity *identity) int {
	for key, value := range m.Labels {
		if pod.Labels[key] != value {
			return -1
		}
	}
	if m.Env != nil && *m.Env != identity.version {
		return -1
	}
	if m.Image == nil {
		return 0
	}
	for i := range pod.Spec.Containers {
		if strings.Contains(pod.Spec.Containers[i].Image, *m.Image) {
			return i
		}
	}
	return -1
}

// lot returns a number between 0 and 1 that belongs to a pod.
func lot(uid string) float64 {
	hash := fnv.New64a()
	hash.Write([]byte(uid))
	// FNV leaves short differences in the low bits; this spreads them.
	mixed := hash.Sum64() * 0x9e3779b97f4a7c15
	return float64(mixed>>11) / (1 << 53)
}

// poisson returns how many of the events expected `mean` times happen.
func poisson(mean float64) int {
	if mean <= 0 {
		return 0
	}
	if mean > 30 {
		return int(math.Max(0, math.Round(mean+math.Sqrt(mean)*rand.NormFloat64())))
	}
	limit, product, count := math.Exp(-mean), rand.Float64(), 0
	for product > limit {
		product *= rand.Float64()
		count++
	}
	return count
}

// binomial returns how many of the trials succeed. Each is drawn: a tick has few.
func binomial(trials int, chance float64) int {
	count := 0
	for range trials {
		if rand.Float64() < chance {
			count++
		}
	}
	return count
}
