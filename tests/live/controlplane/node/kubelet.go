package main

// The kubelet's own server: what the API server proxies port-forwards and logs to. It must not
// know what an app answers.

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
)

const (
	// apiserverName is the name in the API server's client certificate.
	apiserverName = "kube-apiserver-kubelet-client"
	// How long a port-forward may be idle, and how long its streams may take to open; a kubelet's.
	idleTimeout   = 4 * time.Hour
	streamTimeout = 30 * time.Second
)

// kubeletServer returns the server; only the API server may call it.
func kubeletServer(w *world, certificate, key, authority string) (*http.Server, error) {
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(authority)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", authority)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/portForward/{namespace}/{pod}", w.portForward)
	mux.HandleFunc("/portForward/{namespace}/{pod}/{uid}", w.portForward)
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", w.containerLogs)
	return &http.Server{
		Handler: mux,
		// An upgrade to SPDY needs the connection for itself: no HTTP/2.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair},
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
			VerifyConnection: func(state tls.ConnectionState) error {
				if name := state.PeerCertificates[0].Subject.CommonName; name != apiserverName {
					return fmt.Errorf("%s may not use the kubelet", name)
				}
				return nil
			},
		},
	}, nil
}

func (w *world) requested(rw http.ResponseWriter, r *http.Request) *pod {
	p := w.find(types.NamespacedName{Namespace: r.PathValue("namespace"), Name: r.PathValue("pod")})
	if uid := r.PathValue("uid"); p == nil || uid != "" && uid != p.uid {
		http.Error(rw, "pod does not exist", http.StatusNotFound)
		return nil
	}
	if w.cut(p.host) {
		// Nobody answers: until the API server has had enough.
		<-r.Context().Done()
		return nil
	}
	return p
}

func (w *world) portForward(rw http.ResponseWriter, r *http.Request) {
	p := w.requested(rw, r)
	if p == nil {
		return
	}
	options, err := portforward.NewV4Options(r)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	portforward.ServePortForward(rw, r, forwarder{w}, p.key.String(), p.uid, options,
		idleTimeout, streamTimeout, portforward.SupportedProtocols)
}

type forwarder struct{ world *world }

// PortForward copies between a stream and a port of a pod until one of them ends.
func (f forwarder) PortForward(ctx context.Context, name, uid string, port int32, stream io.ReadWriteCloser) error {
	defer stream.Close()
	namespace, pod, _ := strings.Cut(name, "/")
	p := f.world.find(types.NamespacedName{Namespace: namespace, Name: pod})
	if p == nil || p.uid != uid {
		return fmt.Errorf("pod %s does not run", name)
	}
	address, open := p.address(port)
	if !open {
		return fmt.Errorf("failed to connect to localhost:%d inside pod %s: dial tcp4 127.0.0.1:%d: connect: connection refused", port, name, port)
	}
	connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer connection.Close()
	go func() {
		_, _ = io.Copy(connection, stream)
		// The client has said all: the app may still answer.
		_ = connection.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(stream, connection)
	return err
}

// containerLogs answers `kubectl logs`: when the container started and ended.
func (w *world) containerLogs(rw http.ResponseWriter, r *http.Request) {
	p := w.requested(rw, r)
	if p == nil {
		return
	}
	lines, err := p.lines(r.PathValue("container"))
	if err != nil {
		http.Error(rw, err.Error(), http.StatusNotFound)
		return
	}
	if tail, err := strconv.Atoi(r.URL.Query().Get("tailLines")); err == nil && tail >= 0 && tail < len(lines) {
		lines = lines[len(lines)-tail:]
	}
	rw.Header().Set("Content-Type", "text/plain")
	for _, line := range lines {
		if r.URL.Query().Get("timestamps") != "true" {
			_, line, _ = strings.Cut(line, " ")
		}
		fmt.Fprintln(rw, line)
	}
}

func (p *pod) lines(container string) ([]string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.containers {
		if c.spec.Name == container {
			return append([]string(nil), c.logs...), nil
		}
	}
	return nil, errors.New("container not found in pod")
}
