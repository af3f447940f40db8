package main

// The apps in the pods: the endpoints of the payment API over real HTTP. They must not know how a
// request reached the pod.

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const jsonType = "application/json; charset=utf-8"

// listeners are the open ports of one running pod: its port → the address on loopback.
type listeners struct {
	server *http.Server
	open   map[int32]string
	since  time.Time // start of the container they belong to
}

// listen opens the ports of a pod. Several containers share them, as in a pod.
func listen(ports []int32, handler http.Handler) (*listeners, error) {
	l := &listeners{server: &http.Server{Handler: handler}, open: map[int32]string{}}
	for _, port := range ports {
		if _, known := l.open[port]; known {
			continue
		}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			l.close()
			return nil, err
		}
		l.open[port] = listener.Addr().String()
		go l.server.Serve(listener) //nolint:errcheck // ends with ErrServerClosed
	}
	return l, nil
}

// close breaks all connections, as the end of a process does.
func (l *listeners) close() { l.server.Close() }

// ServeHTTP answers as the app of this pod.
func (p *pod) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	version, lived := p.version(), p.lived()
	if version.hangs(lived) {
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /health":
		if version.Health != nil {
			text(w, http.StatusOK, jsonType, *version.Health)
			return
		}
		c := p.counted()
		p.sign(w, http.StatusOK, map[string]any{
			"status": "healthy", "timestamp": stamp(), "uptime": lived.Milliseconds(),
			"metrics": map[string]any{
				"totalTransactions":  c.total,
				"successRate":        percent(c.successful, c.total),
				"fraudDetectionRate": percent(c.fraud, c.total),
			},
		})
	case "GET /ready":
		status, word := http.StatusOK, "ready"
		if !version.passes(lived) {
			status, word = http.StatusServiceUnavailable, "not ready"
		}
		p.sign(w, status, map[string]any{"status": word, "timestamp": stamp()})
	case "GET /":
		p.sign(w, http.StatusOK, map[string]any{
			"service": "Payment API", "environment": p.identity.environment, "timestamp": stamp(),
		})
	case "GET /metrics":
		p.metrics(w, version.Metrics)
	case "GET /prometheus-metrics":
		text(w, http.StatusOK, prometheusType, p.prometheus())
	case "GET /api/analytics":
		c := p.counted()
		p.sign(w, http.StatusOK, map[string]any{
			"fraudPrevention": map[string]any{"totalBlocked": c.fraud},
			"performance": map[string]any{
				"avgResponseTime": strconv.FormatFloat(c.average, 'g', -1, 64) + "ms",
				"successRate":     percent(c.successful, c.total),
			},
		})
	case "POST /api/payments":
		p.pay(w, r, version, lived)
	default:
		missingPage(w, r.Method, r.URL.Path)
	}
}

func (p *pod) metrics(w http.ResponseWriter, kind Metrics) {
	switch kind {
	case metricsPrometheus:
		text(w, http.StatusOK, prometheusType, p.prometheus())
	case metricsMissing:
		missingPage(w, http.MethodGet, "/metrics")
	case metricsNull:
		text(w, http.StatusOK, jsonType, "null")
	case metricsNaN:
		text(w, http.StatusOK, jsonType, `{"totalTransactions":NaN,"successfulTransactions":NaN,"failedTransactions":NaN,"fraudDetected":NaN,"avgResponseTime":NaN}`)
	case metricsEmpty:
		text(w, http.StatusOK, jsonType, "")
	case metricsJSON:
		c := p.counted()
		p.sign(w, http.StatusOK, map[string]any{
			"totalTransactions":      c.total,
			"successfulTransactions": c.successful,
			"failedTransactions":     c.failed,
			"fraudDetected":          c.fraud,
			"avgResponseTime":        c.average,
			// The app's "uptime" is the moment it started, in milliseconds.
			"uptime":    time.Now().Add(-p.lived()).UnixMilli(),
			"timestamp": stamp(),
		})
	}
}

const prometheusType = "text/plain; version=0.0.4; charset=utf-8"

func (p *pod) prometheus() string {
	c := p.counted()
	labels := fmt.Sprintf("version=%q,track=%q", p.identity.version, p.identity.track)
	out := &strings.Builder{}
	out.WriteString("# TYPE http_requests_total counter\n")
	for _, row := range []struct {
		status string
		count  int
	}{{"200", c.successful}, {"403", c.fraud}, {"500", c.failed}} {
		fmt.Fprintf(out, "http_requests_total{%s,status=%q} %d\n", labels, row.status, row.count)
	}
	out.WriteString("# TYPE http_request_duration_seconds histogram\n")
	sum := 0
	for i, count := range c.buckets {
		sum += count
		bound := "+Inf"
		if i < len(bounds) {
			bound = strconv.FormatFloat(bounds[i], 'g', -1, 64)
		}
		fmt.Fprintf(out, "http_request_duration_seconds_bucket{%s,le=%q} %d\n", labels, bound, sum)
	}
	fmt.Fprintf(out, "http_request_duration_seconds_sum{%s} %v\n", labels, c.seconds)
	fmt.Fprintf(out, "http_request_duration_seconds_count{%s} %d\n", labels, sum)
	return out.String()
}

func (p *pod) pay(w http.ResponseWriter, r *http.Request, version *Version, lived time.Duration) {
	payment := map[string]any{}
	// A body that is no JSON is a payment without its fields.
	_ = json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&payment)
	for _, field := range []string{"amount", "merchant", "cardNumber"} {
		switch value := payment[field]; value {
		case nil, false, 0.0, "":
			p.count(func(c *counters) { c.total++; c.failed++ })
			p.sign(w, http.StatusBadRequest, map[string]any{"error": "Invalid transaction data"})
			return
		}
	}
	if rand.Float64() < float64(version.Fraud) {
		p.count(func(c *counters) { c.total++; c.fraud++ })
		p.sign(w, http.StatusForbidden, map[string]any{
			"error":     "Transaction blocked - fraud detected",
			"riskScore": 0.7 + 0.3*rand.Float64(), "riskFactors": []string{},
		})
		return
	}
	took := version.latency(lived)
	time.Sleep(took)
	if rand.Float64() < version.errorRate(p.uid, lived, p.world.shareOf(p)) {
		p.count(func(c *counters) { c.total++; c.failed++ })
		p.sign(w, http.StatusInternalServerError, map[string]any{"error": "Payment processing failed"})
		return
	}
	p.count(func(c *counters) { c.total++; c.successful++; c.observe(took) })
	high, low := rand.Uint64(), rand.Uint64()
	p.sign(w, http.StatusOK, map[string]any{
		"transactionId": fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", high>>32, high>>16&0xffff, high&0xfff, low>>52, low&0xffffffffffff),
		"status":        "approved", "amount": payment["amount"], "merchant": payment["merchant"],
		"processedAt": stamp(), "fraudCheck": map[string]any{"riskScore": 0.3 * rand.Float64()},
		"responseTime": fmt.Sprintf("%dms", took.Milliseconds()),
	})
}

// sign puts the names every answer of the app carries into a body and sends it.
func (p *pod) sign(w http.ResponseWriter, status int, body map[string]any) {
	body["version"], body["track"] = p.identity.version, p.identity.track
	data, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	text(w, status, jsonType, string(data))
}

func text(w http.ResponseWriter, status int, kind, body string) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	// The client may have gone.
	_, _ = w.Write([]byte(body))
}

func missingPage(w http.ResponseWriter, method, path string) {
	text(w, http.StatusNotFound, "text/html; charset=utf-8", fmt.Sprintf("Cannot %s %s\n", method, path))
}

func stamp() string { return time.Now().UTC().Format("2006-01-02T15:04:05.000Z") }

// percent returns a share as the app writes it: 96.12%, and 0% of nothing.
func percent(part, whole int) string {
	if whole == 0 {
		return "0%"
	}
	return fmt.Sprintf("%.2f%%", 100*float64(part)/float64(whole))
}
