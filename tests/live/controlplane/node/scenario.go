package main

// Scenarios: how the versions of an app behave, and who calls them. The format is that of the
// simulated cluster (src/sim/scenario.rs), so that one text drives both.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// Scenario is one scenario. Base, edits, objects, seed and description are for whoever creates the
// objects and are not looked at here.
type Scenario struct {
	Description string          `json:"description"`
	Seed        uint64          `json:"seed"`
	Base        string          `json:"base"`
	Edits       json.RawMessage `json:"edits"`
	Objects     json.RawMessage `json:"objects"`
	Traffic     *Traffic        `json:"traffic"`
	Versions    []Version       `json:"versions"`
	Faults      []any           `json:"faults"`
}

// Traffic says how the users behave.
type Traffic struct {
	// Service is the Service they call; a namespace before a slash is ignored, since a scenario
	// counts in the namespace it is in. Empty: the one that selects most pods.
	Service string `json:"service"`
	// Rate is the mean number of requests per second.
	Rate float64 `json:"rate"`
	// Wave is a slow swing of the rate.
	Wave *Wave `json:"wave"`
	// Bursts are short times of more requests.
	Bursts []Burst `json:"bursts"`
	// CPUPerRequest is the CPU time of a request in milliseconds. It is read and not used: there is
	// no metrics API here, so autoscalers go by their limits alone.
	CPUPerRequest float64 `json:"cpu_per_request"`
}

// Wave is a sine on the rate of requests.
type Wave struct {
	Amplitude Ratio `json:"amplitude"`
	Period    Span  `json:"period"`
}

// Burst is a time of more requests, counted from when the scenario was taken.
type Burst struct {
	At    Span    `json:"at"`
	Lasts Span    `json:"lasts"`
	Times float64 `json:"times"`
}

// Version says how one version of the app behaves.
type Version struct {
	Match      Match     `json:"match"`
	Errors     Errors    `json:"errors"`
	Latency    Latency   `json:"latency"`
	Fraud      Ratio     `json:"fraud"`
	StartDelay Span      `json:"start_delay"`
	Ready      Readiness `json:"ready"`
	Crash      *Crash    `json:"crash"`
	// HangAfter is the age at which it stops answering.
	HangAfter    *Span `json:"hang_after"`
	ImageMissing bool  `json:"image_missing"`
	// Unschedulable is refused: here a real scheduler decides.
	Unschedulable bool `json:"unschedulable"`
	// Health is what GET /health answers instead of its usual body.
	Health  *string `json:"health"`
	Metrics Metrics `json:"metrics"`
	// Stop is how long the container takes to end after SIGTERM; 2 s unless given.
	Stop *Span `json:"stop"`
}

// Match says which pods a version describes; all given parts must match.
type Match struct {
	// Image is a part of the image of a container.
	Image  *string           `json:"image"`
	Labels map[string]string `json:"labels"`
	// Env is the value of the variable API_VERSION.
	Env *string `json:"env"`
}

// Errors says which requests fail with status 500.
type Errors struct {
	Base  Ratio  `json:"base"`
	Rate  Ratio  `json:"rate"`
	After Span   `json:"after"`
	Above *Ratio `json:"above"`
	Every *Span  `json:"every"`
	Lasts *Span  `json:"lasts"`
	Pods  *Ratio `json:"pods"`
}

// Latency is a lognormal distribution of response times.
type Latency struct {
	P50       Span    `json:"p50"`
	P99       Span    `json:"p99"`
	Cold      float64 `json:"cold"`
	WarmAfter Span    `json:"warm_after"`
}

// Crash says how a container ends by itself.
type Crash struct {
	// After is the age at which it ends; varies by 20 % each way.
	After Span `json:"after"`
	// Chance is the share of the starts that end so.
	Chance Ratio `json:"chance"`
	// OOM: killed for memory (137) instead of exiting with 1.
	OOM bool `json:"oom"`
}

// Readiness says whether the readiness probe passes.
type Readiness string

// Metrics says what GET /metrics answers.
type Metrics string

// Values of Readiness and Metrics.
const (
	readyPasses Readiness = "passes"
	readyNever  Readiness = "never"
	readyFlaps  Readiness = "flaps"

	metricsJSON       Metrics = "json"
	metricsPrometheus Metrics = "prometheus"
	metricsMissing    Metrics = "missing"
	metricsNull       Metrics = "null"
	metricsNaN        Metrics = "nan"
	metricsEmpty      Metrics = "empty"
)

// Span is a time, written 90s, 5m, 250ms.
type Span time.Duration

// Ratio is a share between 0 and 1, written 0.25 or 25%.
type Ratio float64

var well = newVersion()

func newVersion() Version {
	return Version{
		Latency: Latency{P50: Span(80 * time.Millisecond), P99: Span(300 * time.Millisecond), Cold: 1},
		Ready:   readyPasses,
		Metrics: metricsJSON,
	}
}

// parseScenario reads a scenario; unknown keys, wrong values and what cannot be done to a real
// cluster are errors.
func parseScenario(text string) (*Scenario, error) {
	scenario := &Scenario{}
	if err := fromYAML(text, scenario); err != nil {
		return nil, err
	}
	if len(scenario.Faults) > 0 {
		return nil, errors.New("faults: they are done to objects; do them with a client")
	}
	for i := range scenario.Versions {
		if err := scenario.Versions[i].check(); err != nil {
			return nil, fmt.Errorf("versions[%d]: %w", i, err)
		}
	}
	if t := scenario.Traffic; t != nil {
		if t.Rate < 0 || t.CPUPerRequest < 0 {
			return nil, errors.New("traffic: rate and cpu_per_request must be 0 or more")
		}
		if t.Wave != nil && t.Wave.Period <= 0 {
			return nil, errors.New("traffic.wave: period must be more than 0")
		}
		for _, burst := range t.Bursts {
			if burst.Times < 0 {
				return nil, errors.New("traffic.bursts: times must be 0 or more")
			}
		}
	}
	return scenario, nil
}

// parseVersion reads the behaviour of one pod: a version without `match`.
func parseVersion(text string) (*Version, error) {
	version := newVersion()
	if err := fromYAML(text, &version); err != nil {
		return nil, err
	}
	if version.Match.Image != nil || version.Match.Env != nil || len(version.Match.Labels) > 0 {
		return nil, errors.New("match: an annotation describes its own pod")
	}
	return &version, version.check()
}

func (v *Version) check() error {
	switch {
	case v.Unschedulable:
		return errors.New("unschedulable: a real scheduler decides; ask for more than a node has")
	case v.Latency.P50 <= 0 || v.Latency.P99 < v.Latency.P50:
		return errors.New("latency: p50 must be more than 0 and p99 at least p50")
	case (v.Errors.Every == nil) != (v.Errors.Lasts == nil):
		return errors.New("errors: every and lasts belong together")
	case v.Errors.Every != nil && *v.Errors.Every <= 0:
		return errors.New("errors: every must be more than 0")
	}
	switch v.Ready {
	case readyPasses, readyNever, readyFlaps:
	default:
		return fmt.Errorf("ready: %q is none of passes, never, flaps", v.Ready)
	}
	switch v.Metrics {
	case metricsJSON, metricsPrometheus, metricsMissing, metricsNull, metricsNaN, metricsEmpty:
		return nil
	default:
		return fmt.Errorf("metrics: %q is none of json, prometheus, missing, null, nan, empty", v.Metrics)
	}
}

func fromYAML(text string, into any) error {
	data, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		return err
	}
	return strict(data, into)
}

// strict decodes JSON and refuses unknown keys, below custom decoders too.
func strict(data []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// UnmarshalJSON fills in what a healthy version has.
func (v *Version) UnmarshalJSON(data []byte) error {
	type plain Version
	value := plain(newVersion())
	err := strict(data, &value)
	*v = Version(value)
	return err
}

// UnmarshalJSON fills in the latency of a healthy version.
func (l *Latency) UnmarshalJSON(data []byte) error {
	type plain Latency
	value := plain(newVersion().Latency)
	err := strict(data, &value)
	*l = Latency(value)
	return err
}

// UnmarshalJSON lets every start crash unless said otherwise.
func (c *Crash) UnmarshalJSON(data []byte) error {
	type plain Crash
	value := plain{Chance: 1}
	err := strict(data, &value)
	*c = Crash(value)
	return err
}

// UnmarshalJSON fills in 50 requests per second of 15 ms.
func (t *Traffic) UnmarshalJSON(data []byte) error {
	type plain Traffic
	value := plain{Rate: 50, CPUPerRequest: 15}
	err := strict(data, &value)
	*t = Traffic(value)
	return err
}

// UnmarshalJSON reads 90s, 5m, 250ms, 1m 30s.
func (s *Span) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("%s is not a span of time such as 90s or 5m", data)
	}
	span, err := time.ParseDuration(strings.ReplaceAll(text, " ", ""))
	if err != nil || span < 0 || text == "0" {
		return fmt.Errorf("%q is not a span of time such as 90s or 5m", text)
	}
	*s = Span(span)
	return nil
}

// UnmarshalJSON reads 0.25 and 25%.
func (r *Ratio) UnmarshalJSON(data []byte) error {
	text := string(data)
	if unquoted, err := strconv.Unquote(text); err == nil {
		text = unquoted
	}
	number, percent := strings.CutSuffix(text, "%")
	value, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if percent {
		value /= 100
	}
	if err != nil || !(value >= 0 && value <= 1) {
		return fmt.Errorf("%q is not a share between 0 and 1, or 0%% and 100%%", text)
	}
	*r = Ratio(value)
	return nil
}
