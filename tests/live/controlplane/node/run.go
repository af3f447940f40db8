package main

// `node run`: puts the nodes together.

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"strconv"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
)

func run(ctx context.Context, arguments []string) error {
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	keys := flags.String("credentials", "", "folder that `node credentials` has written")
	kubelet := flags.Int("kubelet-port", 0, "port of the kubelets' server on loopback")
	plain := flags.Int("port", 0, "port for Prometheus' service discovery, for the addresses of pods and for reviews of tokens")
	count := flags.Int("nodes", 3, "number of nodes")
	if err := parse(flags, arguments); err != nil {
		return err
	}
	client, _, err := connect(filepath.Join(*keys, "node.kubeconfig"))
	if err != nil {
		return err
	}
	events := record.NewBroadcaster()
	events.StartRecordingToSink(&typed.EventSinkImpl{Interface: client.CoreV1().Events("")})
	defer events.Shutdown()
	version, err := client.Discovery().ServerVersion()
	if err != nil {
		return fmt.Errorf("ask for the server's version: %w", err)
	}
	nodes := newNodes(*count)
	w := newWorld(client, events.NewRecorder(scheme.Scheme, v1.EventSource{Component: "kubelet", Host: "node-1"}), nodes)

	server, err := kubeletServer(w, filepath.Join(*keys, "kubelet.crt"), filepath.Join(*keys, "kubelet.key"), filepath.Join(*keys, "ca.crt"))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(*kubelet)))
	if err != nil {
		return err
	}
	go fatal(func() error { return server.ServeTLS(listener, "", "") })
	open, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(*plain)))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /targets", w.targets)
	mux.HandleFunc("GET /address", w.addressOf)
	mux.HandleFunc("POST /tokens", reviewToken)
	go fatal(func() error { return http.Serve(open, mux) })

	if err := w.watch(ctx); err != nil {
		return err
	}
	for _, n := range nodes {
		go n.live(ctx, client, int32(*kubelet), version.GitVersion)
	}
	w.serveUsers(ctx)
	return nil
}

// fatal ends the program when a server does: without it the tests would wait for nothing.
func fatal(serve func() error) {
	if err := serve(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}

// targets answers Prometheus' HTTP service discovery: one target for each port of a running pod.
func (w *world) targets(rw http.ResponseWriter, r *http.Request) {
	type group struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	groups := []group{}
	for _, p := range w.all(r.URL.Query().Get("namespace")) {
		p.mu.Lock()
		labels := map[string]string{
			"namespace": p.key.Namespace, "pod": p.key.Name, "node": p.host,
			"instance": p.key.String(), "__metrics_path__": "/prometheus-metrics",
		}
		for _, name := range []string{"app", "version", "track"} {
			if value := p.object.Labels[name]; value != "" {
				labels["label_"+name] = value
			}
		}
		if p.ports != nil {
			for _, address := range p.ports.open {
				groups = append(groups, group{[]string{address}, labels})
			}
		}
		p.mu.Unlock()
	}
	rw.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(rw).Encode(groups); err != nil {
		log.Print(err)
	}
}

// addressOf answers where on loopback an address of a pod (?of=198.18.0.1:3000) is served: 404 when
// nobody listens there.
func (w *world) addressOf(rw http.ResponseWriter, r *http.Request) {
	ip, text, err := net.SplitHostPort(r.URL.Query().Get("of"))
	port, wrong := strconv.ParseInt(text, 10, 32)
	if err != nil || wrong != nil {
		http.Error(rw, "?of=ADDRESS:PORT", http.StatusBadRequest)
		return
	}
	for _, p := range w.all("") {
		if p.ip != ip {
			continue
		}
		if address, open := p.address(int32(port)); open {
			fmt.Fprintln(rw, address)
			return
		}
	}
	http.Error(rw, "nobody listens there", http.StatusNotFound)
}
