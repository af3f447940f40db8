package main

// From a choice to an answer: connections to the pods, and what counts as a failure. It must not
// choose.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// proxy sends requests to pods.
type proxy struct {
	node    string
	cluster *cluster
	counts  *counts
	client  *http.Client
	reverse *httputil.ReverseProxy
}

// plane is one way in: a port on loopback, and what decides where a request goes.
type plane struct {
	name, address string
	handler       atomic.Pointer[http.Handler]
	mu            sync.Mutex
	// configuration is what Traefik made of the objects, to be shown.
	configuration any
}

// fate is what becomes known of a request on its way.
type fate struct {
	row
	end string
	// target is the pod's address and port.
	target *url.URL
}

type fateKey struct{}

func fateOf(r *http.Request) *fate { return r.Context().Value(fateKey{}).(*fate) }

func newProxy(node string, c *cluster, counts *counts) *proxy {
	// Whoever asks where a pod is waits as long as a user would.
	asking := &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	p := &proxy{node: node, cluster: c, counts: counts, client: asking}
	p.reverse = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(fateOf(r.In).target)
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		},
		Transport: &http.Transport{
			DialContext: p.dial, MaxIdleConnsPerHost: 64, IdleConnTimeout: 5 * time.Second,
			DisableCompression: true,
		},
		// An answer that ends in the middle is counted, not logged.
		ErrorLog: log.New(io.Discard, "", 0),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			known := fateOf(r)
			known.end = wordFor(err)
			log.Printf("%s by %s: %v", r.Host, known.target.Host, err)
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	return p
}

// wordFor names why no answer came.
func wordFor(err error) string {
	switch {
	case errors.Is(err, context.Canceled):
		return "user left"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	default:
		return "reset"
	}
}

// dial connects to a pod, whose address is real only within the nodes' program.
func (p *proxy) dial(ctx context.Context, network, address string) (net.Conn, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.node+"/address?of="+url.QueryEscape(address), nil)
	if err != nil {
		return nil, err
	}
	answer, err := p.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask where %s is: %w", address, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		// Nobody listens there.
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	return (&net.Dialer{}).DialContext(ctx, network, strings.TrimSpace(string(body)))
}

// open opens a way in; until it has a handler it has no route.
func (p *proxy) open(name string) (*plane, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	way := &plane{name: name, address: listener.Addr().String()}
	way.use(http.HandlerFunc(noRoute))
	server := &http.Server{Handler: p.counting(way), ErrorLog: log.New(io.Discard, "", 0)}
	go func() { log.Fatal(server.Serve(listener)) }()
	return way, nil
}

// use changes what decides.
func (w *plane) use(handler http.Handler) { w.handler.Store(&handler) }

// shown returns what Traefik made of the objects last.
func (w *plane) shown() any {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.configuration
}

// counting counts every request once, whatever became of it.
func (p *proxy) counting(way *plane) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := crowdKey{way.name, hostOf(r)}
		known, arrived := &fate{}, p.counts.arrive(who)
		seen := &seenWriter{ResponseWriter: w}
		defer func() {
			broken := recover()
			if broken != nil && known.end == "" {
				known.end = "reset"
			}
			failed := known.end != "" || seen.status >= http.StatusInternalServerError
			if known.end == "" {
				known.end = strconv.Itoa(seen.status)
			}
			p.counts.add(who, arrived, known.row, known.end, failed)
			if broken != nil {
				panic(broken)
			}
		}()
		(*way.handler.Load()).ServeHTTP(seen, r.WithContext(context.WithValue(r.Context(), fateKey{}, known)))
	})
}

// send lets the pod at an address answer.
func (p *proxy) send(w http.ResponseWriter, r *http.Request, target *url.URL) {
	known := fateOf(r)
	known.target = target
	known.Side, known.Image = p.cluster.who(target.Hostname())
	p.reverse.ServeHTTP(w, r)
}

// noRoute answers where no object says where to go.
func noRoute(w http.ResponseWriter, r *http.Request) { refuse(w, r, "no route", http.StatusNotFound) }

// noServer answers where nobody is ready.
func noServer(w http.ResponseWriter, r *http.Request) {
	refuse(w, r, "no server", http.StatusServiceUnavailable)
}

// refuse answers in place of a pod: a failure, whatever the status.
func refuse(w http.ResponseWriter, r *http.Request, why string, status int) {
	fateOf(r).end = why
	http.Error(w, why, status)
}

// hostOf returns the host that a request is for, without its port.
func hostOf(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.Host); err == nil {
		return host
	}
	return r.Host
}

// seenWriter remembers the status.
type seenWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader remembers the status.
func (s *seenWriter) WriteHeader(status int) {
	if s.status == 0 && status >= http.StatusOK {
		s.status = status
	}
	s.ResponseWriter.WriteHeader(status)
}

// Write is the first word of an answer that has no status of its own.
func (s *seenWriter) Write(data []byte) (int, error) {
	if s.status == 0 {
		s.status = http.StatusOK
	}
	return s.ResponseWriter.Write(data)
}

// Unwrap gives ReverseProxy the writer that can flush.
func (s *seenWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }
