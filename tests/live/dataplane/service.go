package main

// Services as kube-proxy divides them: at random over what is ready. It is a translator of our own,
// and it chooses for each request, as if each were a connection of its own. It must not look at
// routing objects.

import (
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// proxyServices returns what answers on the hosts NAME.NAMESPACE of Services.
func (c *cluster) proxyServices(p *proxy) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		namespace, name := serviceOf(hostOf(r), "")
		service := c.service(namespace, name)
		if service == nil {
			noRoute(w, r)
			return
		}
		among := usable(c.endpoints(service, 0), true)
		fateOf(r).Asked = c.asked([]portion{{1, hostsOf(among)}})
		p.any(w, r, among)
	}
}

// serviceOf returns the Service that a host of the cluster's DNS is; a short one is of `home`.
func serviceOf(host, home string) (namespace, name string) {
	parts := strings.SplitN(host, ".", 3)
	if len(parts) == 1 {
		return home, parts[0]
	}
	return parts[1], parts[0]
}

// usable returns the endpoints that may get requests. kube-proxy takes those that end and still
// answer when there is no other (`ending`); a mesh does not.
func usable(all []endpoint, ending bool) []endpoint {
	var ready, serving []endpoint
	for _, known := range all {
		if known.ready {
			ready = append(ready, known)
		} else if known.serving {
			serving = append(serving, known)
		}
	}
	if len(ready) == 0 && ending {
		return serving
	}
	return ready
}

func hostsOf(all []endpoint) []string {
	hosts := make([]string, 0, len(all))
	for _, known := range all {
		host, _, _ := net.SplitHostPort(known.address)
		hosts = append(hosts, host)
	}
	return hosts
}

// any lets one of these answer.
func (p *proxy) any(w http.ResponseWriter, r *http.Request, among []endpoint) {
	if len(among) == 0 {
		noServer(w, r)
		return
	}
	p.send(w, r, &url.URL{Scheme: "http", Host: among[rand.IntN(len(among))].address})
}
