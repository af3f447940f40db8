package main

// Traefik's providers and what becomes of their configuration: its rules by Traefik's own muxer, its
// weights by Traefik's own balancer. Middlewares are left out: no retry, no buffer, so that what
// failed once is counted. It must not read an object itself.

import (
	"context"
	"fmt"
	"log"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/traefik/traefik/v3/pkg/config/dynamic"
	"github.com/traefik/traefik/v3/pkg/middlewares/requestdecorator"
	muxer "github.com/traefik/traefik/v3/pkg/muxer/http"
	"github.com/traefik/traefik/v3/pkg/provider"
	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd"
	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/gateway"
	ingressnginx "github.com/traefik/traefik/v3/pkg/provider/kubernetes/ingress-nginx"
	"github.com/traefik/traefik/v3/pkg/safe"
	"github.com/traefik/traefik/v3/pkg/server/service/loadbalancer/wrr"
)

// entry is the name of the entry point that all routers are on.
const entry = "web"

// provide starts Traefik's providers; what they say decides on their planes.
func provide(ctx context.Context, p *proxy, planes map[string]*plane, throttle time.Duration) error {
	nginx := &ingressnginx.Provider{}
	nginx.SetDefaults()
	nginx.HTTPEntryPoint = entry
	named := true
	edge := &gateway.Provider{EntryPoints: map[string]gateway.Entrypoint{entry: {Address: ":80"}}}
	edge.SetDefaults()
	providers := map[string]provider.Provider{
		// Empty Services are allowed by Traefik's Helm chart: a Service without endpoints is a 503.
		"traefik": &crd.Provider{AllowEmptyServices: true, SafeNaming: &named},
		"gateway": edge,
		"nginx":   nginx,
	}
	pool := safe.NewPool(ctx)
	for name, one := range providers {
		if err := one.Init(); err != nil {
			return fmt.Errorf("provider of %s: %w", name, err)
		}
		messages := make(chan dynamic.Message)
		if err := one.Provide(messages, pool); err != nil {
			return fmt.Errorf("provider of %s: %w", name, err)
		}
		go p.apply(ctx, planes[name], messages, throttle)
	}
	return nil
}

// apply takes over the latest configuration, at most once in a while, as Traefik does.
func (p *proxy) apply(ctx context.Context, way *plane, messages <-chan dynamic.Message, throttle time.Duration) {
	var latest *dynamic.Configuration
	var due <-chan time.Time
	next := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case message := <-messages:
			latest = message.Configuration
			if due == nil {
				due = time.After(time.Until(next))
			}
		case <-due:
			due, next = nil, time.Now().Add(throttle)
			way.use((&routes{proxy: p, all: latest.HTTP}).handler())
			way.mu.Lock()
			way.configuration = latest.HTTP
			way.mu.Unlock()
		}
	}
}

// routes makes a handler of a configuration of Traefik's.
type routes struct {
	proxy *proxy
	all   *dynamic.HTTPConfiguration
}

func (s *routes) handler() http.Handler {
	parser, err := muxer.NewSyntaxParser()
	if err != nil {
		log.Fatal(err) // a grammar of constants
	}
	mux := muxer.NewMuxer(parser, nil)
	mux.SetDefaultHandler(http.HandlerFunc(noRoute))
	for name, router := range s.all.Routers {
		// The other of a pair, for TLS.
		if router.TLS != nil {
			continue
		}
		priority := router.Priority
		if priority == 0 {
			priority = muxer.GetRulePriority(router.Rule)
		}
		to, portions := s.service(router.Service, 1, 0)
		answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fateOf(r).Asked = s.proxy.cluster.asked(portions)
			to.ServeHTTP(w, r)
		})
		if err := mux.AddRoute(router.Rule, router.RuleSyntax, priority, "", answer); err != nil {
			log.Printf("router %s: %v", name, err)
		}
	}
	decorator := requestdecorator.New(nil)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { decorator.ServeHTTP(w, r, mux.ServeHTTP) })
}

// deepest is how far services may lead to services.
const deepest = 8

// service returns what answers for a service of the configuration, and how it is to divide a weight.
func (s *routes) service(name string, weight float64, depth int) (http.Handler, []portion) {
	// Names of one provider may carry its own name.
	name, _, _ = strings.Cut(name, "@")
	known := s.all.Services[name]
	switch {
	case known == nil || depth > deepest:
		return answering("no service", http.StatusServiceUnavailable), []portion{{weight: weight}}
	case known.LoadBalancer != nil:
		return s.balancer(known.LoadBalancer, weight)
	case known.Weighted != nil:
		return s.weighted(known.Weighted, weight, depth)
	case known.Mirroring != nil:
		// The copy is not what users get.
		return s.service(known.Mirroring.Service, weight, depth+1)
	default:
		return answering("unknown kind of service", http.StatusNotImplemented), nil
	}
}

func (s *routes) weighted(config *dynamic.WeightedRoundRobin, weight float64, depth int) (http.Handler, []portion) {
	balancer := wrr.New(config.Sticky, config.HealthCheck != nil)
	total := 0.0
	for _, child := range config.Services {
		total += childWeight(&child)
	}
	var portions []portion
	for _, child := range shuffled(config.Services) {
		share := 0.0
		if total > 0 {
			share = weight * childWeight(&child) / total
		}
		to, parts := s.service(child.Name, share, depth+1)
		if child.Status != nil {
			to, parts = answering("refused by the route", *child.Status), []portion{{weight: share}}
		}
		portions = append(portions, parts...)
		balancer.Add(child.Name, to, child.Weight, false)
	}
	return unserved(balancer), portions
}

func childWeight(child *dynamic.WRRService) float64 {
	if child.Weight == nil {
		return 1
	}
	return float64(max(0, *child.Weight))
}

func (s *routes) balancer(config *dynamic.ServersLoadBalancer, weight float64) (http.Handler, []portion) {
	switch config.Strategy {
	case "", dynamic.BalancerStrategyWRR:
	default:
		return answering("unknown strategy", http.StatusNotImplemented), nil
	}
	balancer := wrr.New(config.Sticky, false)
	part := portion{weight: weight}
	for _, server := range shuffled(config.Servers) {
		target, err := url.Parse(server.URL)
		if err != nil {
			log.Printf("server %s: %v", server.URL, err)
			continue
		}
		// One that is fenced ends, and only gets those who are bound to it.
		if !server.Fenced {
			part.hosts = append(part.hosts, target.Hostname())
		}
		balancer.AddServer(server.URL, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.proxy.send(w, r, target)
		}), server)
	}
	return unserved(balancer), []portion{part}
}

// unserved notes when a balancer had no pod to ask.
func unserved(balancer http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		balancer.ServeHTTP(w, r)
		if known := fateOf(r); known.target == nil && known.end == "" {
			known.end = "no server"
		}
	})
}

func answering(why string, status int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { refuse(w, r, why, status) })
}

// shuffled returns a copy in any order: Traefik lets no server be the first each time.
func shuffled[T any](values []T) []T {
	values = slices.Clone(values)
	rand.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
	return values
}
