package main

// What users got, told apart by way in and host, by the share that the canary was to have, and by who answered.
// It must not know how a request was routed.

import (
	"maps"
	"sort"
	"sync"
)

// row is what is told apart.
type row struct {
	// Asked is the percentage of the canary that the objects asked for when the request came, with one
	// decimal; empty when nothing could be chosen.
	Asked string `json:"asked"`
	// Side is the label `track` of the pod that was chosen; empty for none.
	Side string `json:"side"`
	// Image is that of the pod's first container.
	Image string `json:"image"`
}

// tally is how many requests there were and how they ended.
type tally struct {
	Requests int `json:"requests"`
	Failures int `json:"failures"`
	// Ends are the requests by their end: a status, or why there was none.
	Ends map[string]int `json:"ends"`
}

// crowdKey is who counts together: those who ask for a host by one way in.
type crowdKey struct{ way, host string }

// counts holds the tallies of every crowd.
type counts struct {
	mu     sync.Mutex
	crowds map[crowdKey]map[row]*tally
	// since is how often counting began anew: who asked before that is not counted any more.
	since map[crowdKey]int
}

func newCounts() *counts {
	return &counts{crowds: map[crowdKey]map[row]*tally{}, since: map[crowdKey]int{}}
}

// arrive returns what to give to add when the request is answered.
func (c *counts) arrive(who crowdKey) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.since[who]
}

// add counts one request that arrived in its time.
func (c *counts) add(who crowdKey, arrived int, at row, end string, failed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.since[who] != arrived {
		return
	}
	rows := c.crowds[who]
	if rows == nil {
		rows = map[row]*tally{}
		c.crowds[who] = rows
	}
	t := rows[at]
	if t == nil {
		t = &tally{Ends: map[string]int{}}
		rows[at] = t
	}
	t.Requests++
	t.Ends[end]++
	if failed {
		t.Failures++
	}
}

// counted is a row with its tally.
type counted struct {
	row
	tally
}

// of returns the rows of a crowd; with `forget`, counting begins anew.
func (c *counts) of(who crowdKey, forget bool) []counted {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := []counted{}
	for at, t := range c.crowds[who] {
		copied := *t
		copied.Ends = maps.Clone(t.Ends)
		all = append(all, counted{at, copied})
	}
	sort.Slice(all, func(i, j int) bool {
		a, b := all[i].row, all[j].row
		return a.Asked+" "+a.Side+" "+a.Image < b.Asked+" "+b.Side+" "+b.Image
	})
	if forget {
		delete(c.crowds, who)
		c.since[who]++
	}
	return all
}
