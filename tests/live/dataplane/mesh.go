package main

// VirtualServices and DestinationRules as a mesh's sidecars divide them. It is a translator of our
// own, since Istio's cannot be had as a library; it knows hosts, the matches that routes to a canary
// use, weights and subsets. What it does not know it answers with 501, so that no test passes on a
// guess. It must not retry, as a sidecar would: what failed once is counted.

import (
	"cmp"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
)

type virtualService struct {
	Hosts []string    `json:"hosts"`
	HTTP  []httpRoute `json:"http"`
}

type httpRoute struct {
	Match          []match        `json:"match"`
	Route          []destination  `json:"route"`
	Redirect       map[string]any `json:"redirect"`
	DirectResponse map[string]any `json:"directResponse"`
	Fault          map[string]any `json:"fault"`
	Delegate       map[string]any `json:"delegate"`
}

type match struct {
	URI            *textMatch           `json:"uri"`
	Method         *textMatch           `json:"method"`
	Headers        map[string]textMatch `json:"headers"`
	WithoutHeaders map[string]textMatch `json:"withoutHeaders"`
	Gateways       []string             `json:"gateways"`
	SourceLabels   map[string]string    `json:"sourceLabels"`
	QueryParams    map[string]any       `json:"queryParams"`
	Scheme         *textMatch           `json:"scheme"`
	Authority      *textMatch           `json:"authority"`
}

type textMatch struct {
	Exact  *string `json:"exact"`
	Prefix *string `json:"prefix"`
	Regex  *string `json:"regex"`
}

type destination struct {
	Weight      float64 `json:"weight"`
	Destination struct {
		Host   string `json:"host"`
		Subset string `json:"subset"`
		Port   struct {
			Number int32 `json:"number"`
		} `json:"port"`
	} `json:"destination"`
}

type destinationRule struct {
	Host    string `json:"host"`
	Subsets []struct {
		Name   string            `json:"name"`
		Labels map[string]string `json:"labels"`
	} `json:"subsets"`
}

// proxyMesh returns what answers on the hosts NAME.NAMESPACE of Services within the mesh.
func (c *cluster) proxyMesh(p *proxy) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		namespace, name := serviceOf(hostOf(r), "")
		home, rules := c.routesOf(namespace, name)
		if rules == nil {
			// No route: the Service is divided evenly.
			service := c.service(namespace, name)
			if service == nil {
				noRoute(w, r)
				return
			}
			among := usable(c.endpoints(service, 0), false)
			fateOf(r).Asked = c.asked([]portion{{1, hostsOf(among)}})
			p.any(w, r, among)
			return
		}
		for i := range rules {
			matches, told := rules[i].matches(r)
			if !told {
				refuse(w, r, "unknown match", http.StatusNotImplemented)
				return
			}
			if matches {
				c.split(p, w, r, home, &rules[i])
				return
			}
		}
		noRoute(w, r)
	}
}

// routesOf returns the routes of the oldest VirtualService for a Service, and its namespace.
func (c *cluster) routesOf(namespace, name string) (string, []httpRoute) {
	var found []*unstructured.Unstructured
	for _, object := range c.routes.List() {
		found = append(found, object.(*unstructured.Unstructured))
	}
	slices.SortFunc(found, func(a, b *unstructured.Unstructured) int {
		return cmp.Or(a.GetCreationTimestamp().Compare(b.GetCreationTimestamp().Time), strings.Compare(a.GetName(), b.GetName()))
	})
	for _, object := range found {
		spec := c.understood(object)
		if spec == nil {
			continue
		}
		for _, host := range spec.Hosts {
			if inNamespace, service := serviceOf(host, object.GetNamespace()); inNamespace == namespace && service == name {
				return object.GetNamespace(), spec.HTTP
			}
		}
	}
	return "", nil
}

// known is what a VirtualService of one version says; nil for one that cannot be read.
type known struct {
	version string
	spec    *virtualService
}

// understood reads a VirtualService once for each of its versions: every request asks.
func (c *cluster) understood(object *unstructured.Unstructured) *virtualService {
	if found, there := c.specs.Load(object.GetUID()); there {
		if before := found.(known); before.version == object.GetResourceVersion() {
			return before.spec
		}
	}
	spec := &virtualService{}
	if read(object, spec) != nil {
		spec = nil
	}
	c.specs.Store(object.GetUID(), known{object.GetResourceVersion(), spec})
	return spec
}

func read(object *unstructured.Unstructured, into any) error {
	spec, _, err := unstructured.NestedMap(object.Object, "spec")
	if err != nil {
		return err
	}
	return runtime.DefaultUnstructuredConverter.FromUnstructured(spec, into)
}

// matches returns whether a route is for a request, and whether that can be told.
func (h *httpRoute) matches(r *http.Request) (matches, told bool) {
	if h.Redirect != nil || h.DirectResponse != nil || h.Fault != nil || h.Delegate != nil {
		return false, false
	}
	if len(h.Match) == 0 {
		return true, true
	}
	for i := range h.Match {
		one := &h.Match[i]
		if len(one.SourceLabels) > 0 || one.QueryParams != nil || one.Scheme != nil || one.Authority != nil {
			return false, false
		}
		if len(one.Gateways) > 0 && !slices.Contains(one.Gateways, "mesh") {
			continue
		}
		if one.fits(r) {
			return true, true
		}
	}
	return false, true
}

func (m *match) fits(r *http.Request) bool {
	if m.URI != nil && !m.URI.fits(r.URL.Path) || m.Method != nil && !m.Method.fits(r.Method) {
		return false
	}
	for name, wanted := range m.Headers {
		values, there := r.Header[http.CanonicalHeaderKey(name)]
		if !there || !wanted.fits(values[0]) {
			return false
		}
	}
	for name, unwanted := range m.WithoutHeaders {
		if values, there := r.Header[http.CanonicalHeaderKey(name)]; there && unwanted.fits(values[0]) {
			return false
		}
	}
	return true
}

// fits returns whether a text is as wanted; nothing wanted is any text.
func (t *textMatch) fits(text string) bool {
	switch {
	case t.Exact != nil:
		return text == *t.Exact
	case t.Prefix != nil:
		return strings.HasPrefix(text, *t.Prefix)
	case t.Regex != nil:
		pattern, err := regexp.Compile("^(?:" + *t.Regex + ")$")
		return err == nil && pattern.MatchString(text)
	default:
		return true
	}
}

// split chooses a destination by weight, and one of its pods.
func (c *cluster) split(p *proxy, w http.ResponseWriter, r *http.Request, home string, rule *httpRoute) {
	total := 0.0
	portions := make([]portion, len(rule.Route))
	behind := make([][]endpoint, len(rule.Route))
	for i := range rule.Route {
		weight := rule.Route[i].Weight
		if len(rule.Route) == 1 && weight == 0 {
			weight = 100
		}
		total += weight
		behind[i] = c.behind(home, &rule.Route[i])
		portions[i] = portion{weight, hostsOf(behind[i])}
	}
	fateOf(r).Asked = c.asked(portions)
	at := rand.Float64() * total
	for i := range portions {
		if at -= portions[i].weight; at < 0 {
			p.any(w, r, behind[i])
			return
		}
	}
	noServer(w, r)
}

// behind returns the ready endpoints of a destination; none where its subset is not defined.
func (c *cluster) behind(home string, to *destination) []endpoint {
	namespace, name := serviceOf(to.Destination.Host, home)
	service := c.service(namespace, name)
	if service == nil {
		return nil
	}
	all := usable(c.endpoints(service, to.Destination.Port.Number), false)
	if to.Destination.Subset == "" {
		return all
	}
	selector := c.subset(namespace, name, to.Destination.Subset)
	if selector == nil {
		return nil
	}
	return slices.DeleteFunc(all, func(known endpoint) bool {
		return known.pod == nil || !selector.Matches(labels.Set(known.pod.Labels))
	})
}

func (c *cluster) subset(namespace, name, wanted string) labels.Selector {
	for _, object := range c.rules.List() {
		known := object.(*unstructured.Unstructured)
		var spec destinationRule
		if read(known, &spec) != nil {
			continue
		}
		if inNamespace, service := serviceOf(spec.Host, known.GetNamespace()); inNamespace != namespace || service != name {
			continue
		}
		for _, subset := range spec.Subsets {
			if subset.Name == wanted {
				return labels.SelectorFromSet(subset.Labels)
			}
		}
	}
	return nil
}
