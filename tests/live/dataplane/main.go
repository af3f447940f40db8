// Command dataplane sends real HTTP to the pods of the live tests as ingress controllers, a mesh and
// kube-proxy would, and counts what users got. What the objects mean is Traefik's own code, used as a
// library, for IngressRoute, TraefikService, HTTPRoute and the annotations of ingress-nginx; for
// VirtualService and for Services it is a translator of our own. It must not know what a release is.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/rs/zerolog/log"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	// Traefik says every change at length; what went wrong is enough.
	zerolog.SetGlobalLevel(zerolog.ErrorLevel)
	log.Logger = log.Output(zerolog.ConsoleWriter{Out: os.Stderr, NoColor: true, TimeFormat: time.RFC3339Nano})
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	node := flag.String("node", "", "address of the nodes' program: it says where on loopback a pod is")
	port := flag.Int("port", 0, "port of the control API on loopback")
	throttle := flag.Duration("throttle", 100*time.Millisecond,
		"shortest time between two configurations of Traefik's: its own 2 s, divided by the speed of the tests")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return fmt.Errorf("KUBECONFIG: %w", err)
	}
	config.QPS, config.Burst = 100, 200
	cluster, err := follow(ctx, config)
	if err != nil {
		return err
	}
	counts := newCounts()
	proxy := newProxy(*node, cluster, counts)
	planes := map[string]*plane{}
	for _, name := range []string{"service", "istio", "traefik", "gateway", "nginx"} {
		if planes[name], err = proxy.open(name); err != nil {
			return err
		}
	}
	planes["service"].use(http.HandlerFunc(cluster.proxyServices(proxy)))
	planes["istio"].use(http.HandlerFunc(cluster.proxyMesh(proxy)))
	if err := provide(ctx, proxy, planes, *throttle); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", *port))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: control(planes, counts)}
	go func() {
		<-ctx.Done()
		server.Close()
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
