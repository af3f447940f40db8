package main

// What the API server says: pods, Services and their endpoints, and the objects of Istio. It must
// not send requests.

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

const (
	byAddress = "address"
	byService = "service"
)

var (
	virtualServices  = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1beta1", Resource: "virtualservices"}
	destinationRules = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1beta1", Resource: "destinationrules"}
)

// cluster is what watches have brought.
type cluster struct {
	pods, slices, services cache.Indexer
	routes, rules          cache.Indexer
	// specs holds what VirtualServices say, by their UID.
	specs sync.Map
}

// endpoint is one address behind a Service.
type endpoint struct {
	address string // of the pod, with the port
	pod     *v1.Pod
	// ready may get requests; serving ends and still answers.
	ready, serving bool
}

// follow watches until ctx ends; returns when the first lists have come.
func follow(ctx context.Context, config *rest.Config) (*cluster, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	loose, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	all := informers.NewSharedInformerFactory(client, 0)
	custom := dynamicinformer.NewDynamicSharedInformerFactory(loose, 0)
	pods := all.Core().V1().Pods().Informer()
	if err := pods.AddIndexers(cache.Indexers{byAddress: func(object any) ([]string, error) {
		return []string{object.(*v1.Pod).Status.PodIP}, nil
	}}); err != nil {
		return nil, err
	}
	slices := all.Discovery().V1().EndpointSlices().Informer()
	if err := slices.AddIndexers(cache.Indexers{byService: func(object any) ([]string, error) {
		slice := object.(*discovery.EndpointSlice)
		return []string{slice.Namespace + "/" + slice.Labels[discovery.LabelServiceName]}, nil
	}}); err != nil {
		return nil, err
	}
	services := all.Core().V1().Services().Informer()
	routes, rules := custom.ForResource(virtualServices).Informer(), custom.ForResource(destinationRules).Informer()
	all.Start(ctx.Done())
	custom.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), pods.HasSynced, slices.HasSynced, services.HasSynced, routes.HasSynced, rules.HasSynced) {
		return nil, ctx.Err()
	}
	return &cluster{
		pods: pods.GetIndexer(), slices: slices.GetIndexer(), services: services.GetIndexer(),
		routes: routes.GetIndexer(), rules: rules.GetIndexer(),
	}, nil
}

// pod returns the pod that has an address, or nil.
func (c *cluster) pod(address string) *v1.Pod {
	found, err := c.pods.ByIndex(byAddress, address)
	if err != nil || len(found) == 0 {
		return nil
	}
	return found[0].(*v1.Pod)
}

// who returns the track and the image of the pod that has an address.
func (c *cluster) who(address string) (track, image string) {
	pod := c.pod(address)
	if pod == nil {
		return "", ""
	}
	return pod.Labels["track"], pod.Spec.Containers[0].Image
}

// service returns a Service, or nil.
func (c *cluster) service(namespace, name string) *v1.Service {
	found, known, err := c.services.GetByKey(namespace + "/" + name)
	if err != nil || !known {
		return nil
	}
	return found.(*v1.Service)
}

// endpoints returns what is behind a port of a Service; port 0 is its first.
func (c *cluster) endpoints(service *v1.Service, port int32) []endpoint {
	var wanted *v1.ServicePort
	for i := range service.Spec.Ports {
		if known := &service.Spec.Ports[i]; port == 0 || known.Port == port {
			wanted = known
			break
		}
	}
	if wanted == nil {
		return nil
	}
	found, err := c.slices.ByIndex(byService, service.Namespace+"/"+service.Name)
	if err != nil {
		return nil
	}
	var all []endpoint
	for _, object := range found {
		slice := object.(*discovery.EndpointSlice)
		for _, open := range slice.Ports {
			if open.Port == nil || open.Name == nil || *open.Name != wanted.Name {
				continue
			}
			for i := range slice.Endpoints {
				all = append(all, c.endpoint(&slice.Endpoints[i], *open.Port))
			}
		}
	}
	return all
}

func (c *cluster) endpoint(known *discovery.Endpoint, port int32) endpoint {
	is := func(condition *bool, unknown bool) bool {
		if condition == nil {
			return unknown
		}
		return *condition
	}
	ready := is(known.Conditions.Ready, true)
	return endpoint{
		address: known.Addresses[0] + ":" + strconv.Itoa(int(port)), pod: c.pod(known.Addresses[0]),
		ready: ready, serving: is(known.Conditions.Serving, ready),
	}
}

// portion is a part of the traffic: a weight, and the pods' addresses among which it is divided evenly.
type portion struct {
	weight float64
	hosts  []string
}

// asked returns the percentage that the canary is to have; empty when nobody can answer.
func (c *cluster) asked(portions []portion) string {
	sum, canary := 0.0, 0.0
	for _, part := range portions {
		if part.weight <= 0 {
			continue
		}
		sum += part.weight
		for _, host := range part.hosts {
			if track, _ := c.who(host); track == "canary" {
				canary += part.weight / float64(len(part.hosts))
			}
		}
	}
	if sum == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f", 100*canary/sum)
}
