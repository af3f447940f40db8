package main

import (
	"fmt"
	"math"
	"testing"
	"time"
)

func version(t *testing.T, text string) *Version {
	t.Helper()
	v, err := parseVersion(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestErrorsBeginAboveAShareAndAfterATime(t *testing.T) {
	v := version(t, "errors: {base: 1%, rate: 25%, above: 20%, after: 10s}")
	for _, c := range []struct {
		lived time.Duration
		share float64
		want  float64
	}{{5 * time.Second, 0.5, 0.01}, {15 * time.Second, 0.1, 0.01}, {15 * time.Second, 0.25, 0.25}} {
		if got := v.errorRate("u", c.lived, c.share); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestErrorsComeAndGo(t *testing.T) {
	v := version(t, "errors: {rate: 50%, every: 100s, lasts: 30s}")
	for seconds, bad := range map[int]bool{10: true, 40: false, 110: true, 199: false} {
		got := v.errorRate("u", time.Duration(seconds)*time.Second, 0.1) > 0
		if got != bad {
			t.Errorf("%d s: %v", seconds, got)
		}
	}
}

func TestErrorsMayHitSomePodsOnly(t *testing.T) {
	v := version(t, "errors: {rate: 100%, pods: 50%}")
	hit := 0
	for i := range 200 {
		if v.errorRate(fmt.Sprintf("uid-%d", i), 0, 0.1) > 0 {
			hit++
		}
	}
	if hit < 60 || hit > 140 {
		t.Errorf("%d of 200 pods", hit)
	}
}

func TestDrawsHaveTheirMean(t *testing.T) {
	mean := func(draw func() float64) float64 {
		sum := 0.0
		for range 20000 {
			sum += draw()
		}
		return sum / 20000
	}
	for _, wanted := range []float64{0.3, 7, 90} {
		got := mean(func() float64 { return float64(poisson(wanted)) })
		if math.Abs(got-wanted) > 0.05*math.Max(wanted, 1) {
			t.Errorf("poisson %v: %v", wanted, got)
		}
	}
	slow := mean(func() float64 {
		if well.latency(0) > 300*time.Millisecond {
			return 1
		}
		return 0
	})
	if math.Abs(slow-0.01) > 0.004 {
		t.Errorf("%v of the requests are slower than the 99th percentile", slow)
	}
}
