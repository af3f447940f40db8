package main

// Users: a steady number of requests a second, and what they saw. It must not know the pods.

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Load is what users do.
type Load struct {
	// Plane is the way in, Host the name that they ask for.
	Plane string `json:"plane"`
	Host  string `json:"host"`
	// Rate is in requests a second.
	Rate   float64           `json:"rate"`
	Method string            `json:"method"`
	Path   string            `json:"path"`
	Body   string            `json:"body"`
	Header map[string]string `json:"header"`
}

// Seen is what users saw.
type Seen struct {
	Sent     int `json:"sent"`
	Answered int `json:"answered"`
	Failures int `json:"failures"`
	// Late is the requests that were not sent in their turn, since this machine was too slow.
	Late int            `json:"late"`
	Ends map[string]int `json:"ends"`
}

// users send a load until they are stopped.
type users struct {
	stop context.CancelFunc
	done chan struct{}
	mu   sync.Mutex
	seen Seen
}

const (
	// turn is how often requests are sent.
	turn = 5 * time.Millisecond
	// patience is how long a user waits.
	patience = 10 * time.Second
	// crowd is how many may wait at once.
	crowd = 2000
)

func begin(address string, load *Load) *users {
	ctx, stop := context.WithCancel(context.Background())
	u := &users{stop: stop, done: make(chan struct{}), seen: Seen{Ends: map[string]int{}}}
	client := &http.Client{
		Timeout: patience,
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, address)
			},
			MaxIdleConnsPerHost: crowd,
		},
	}
	go u.run(ctx, client, load)
	return u
}

func (u *users) run(ctx context.Context, client *http.Client, load *Load) {
	defer close(u.done)
	var open sync.WaitGroup
	seats := make(chan struct{}, crowd)
	from := time.Now()
	for sent := 0; ; {
		select {
		case <-ctx.Done():
			open.Wait()
			client.CloseIdleConnections()
			return
		case <-time.After(turn):
		}
		for due := int(load.Rate * time.Since(from).Seconds()); sent < due; sent++ {
			select {
			case seats <- struct{}{}:
			default:
				u.note(func(s *Seen) { s.Late++ })
				continue
			}
			open.Go(func() {
				u.ask(client, load)
				<-seats
			})
		}
	}
}

// ask is one user: whoever has begun waits for the answer.
func (u *users) ask(client *http.Client, load *Load) {
	u.note(func(s *Seen) { s.Sent++ })
	end, failed := "", true
	request, err := http.NewRequest(load.Method, "http://"+load.Host+load.Path, strings.NewReader(load.Body))
	if err == nil {
		for name, value := range load.Header {
			request.Header.Set(name, value)
		}
		var answer *http.Response
		if answer, err = client.Do(request); err == nil {
			_, err = io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
			end, failed = answer.Status, answer.StatusCode >= http.StatusInternalServerError || answer.StatusCode == http.StatusNotFound
		}
	}
	if err != nil {
		end, failed = wordFor(err), true
	}
	u.note(func(s *Seen) {
		s.Answered++
		s.Ends[end]++
		if failed {
			s.Failures++
		}
	})
}

func (u *users) note(change func(*Seen)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change(&u.seen)
}

// now returns what they saw until now.
func (u *users) now() Seen {
	u.mu.Lock()
	defer u.mu.Unlock()
	copied := u.seen
	copied.Ends = map[string]int{}
	for end, count := range u.seen.Ends {
		copied.Ends[end] = count
	}
	return copied
}

// end lets no more come, waits for those who wait, and returns what all saw.
func (u *users) end() Seen {
	u.stop()
	<-u.done
	return u.now()
}
