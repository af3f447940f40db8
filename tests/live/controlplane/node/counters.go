package main

// What an app counts about its own requests. It must not know who asks.

import "time"

// bounds are the upper bounds of the latency histogram in seconds.
var bounds = [...]float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

// counters are those of one container; a restart begins with zero.
type counters struct {
	total, successful, failed, fraud int
	// average is the mean response time in milliseconds; the app halves the weight of the past at
	// each payment.
	average float64
	// buckets counts requests by latency, not cumulative; the last is everything slower.
	buckets [len(bounds) + 1]int
	// seconds is the sum of all response times.
	seconds float64
}

// observe counts one payment that took this long.
func (c *counters) observe(took time.Duration) {
	seconds := took.Seconds()
	c.average = (c.average + seconds*1000) / 2
	bucket := len(bounds)
	for i, bound := range bounds {
		if seconds <= bound {
			bucket = i
			break
		}
	}
	c.buckets[bucket]++
	c.seconds += seconds
}
