package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const scenarios = "../../../../src/sim/scenarios"

// The simulator's own scenarios must mean the same here; those that act on objects, or on the
// scheduler, are refused and not half obeyed.
func TestEveryScenarioOfTheSimulatorIsReadOrRefusedForAReason(t *testing.T) {
	files, err := filepath.Glob(scenarios + "/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d scenarios found: %v", len(files), err)
	}
	read := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, err = parseScenario(string(text))
		switch {
		case err == nil:
			read++
		case strings.HasPrefix(err.Error(), "faults:"):
		default:
			t.Errorf("%s: %v", file, err)
		}
	}
	if read < 10 {
		t.Errorf("only %d scenarios were read", read)
	}
}

func TestValuesHaveTheirUnits(t *testing.T) {
	s, err := parseScenario(`
traffic: {service: shop/web, wave: {amplitude: 30%, period: 1m 30s}}
versions:
  - match: {image: "payment-api:2"}
    errors: {base: 0.2%, rate: 0.25, above: 20%, after: 5m}
    latency: {p50: 40ms}
    crash: {after: 20s}
`)
	if err != nil {
		t.Fatal(err)
	}
	v := s.Versions[0]
	if v.Errors.Base != 0.002 || v.Errors.Rate != 0.25 || *v.Errors.Above != 0.2 {
		t.Errorf("%+v", v.Errors)
	}
	if time.Duration(v.Errors.After) != 5*time.Minute || time.Duration(s.Traffic.Wave.Period) != 90*time.Second {
		t.Errorf("%+v %+v", v.Errors, s.Traffic.Wave)
	}
	if v.Crash.Chance != 1 || v.Ready != readyPasses || s.Traffic.Rate != 50 {
		t.Errorf("defaults: %+v %+v", v, s.Traffic)
	}
	if time.Duration(v.Latency.P50) != 40*time.Millisecond || time.Duration(v.Latency.P99) != 300*time.Millisecond {
		t.Errorf("%+v", v.Latency)
	}
}

func TestWhatCannotBeMeantIsRefused(t *testing.T) {
	for text, part := range map[string]string{
		"versionz: []":                        "versionz",
		"versions: [{erors: {}}]":             "erors",
		"versions: [{errors: {rat: 1}}]":      "rat",
		"versions: [{latency: {p5: 1s}}]":     "p5",
		"versions: [{crash: {when: 1s}}]":     "when",
		"versions: [{fraud: 120%}]":           "120%",
		"versions: [{fraud: 25}]":             "25",
		"versions: [{start_delay: 90}]":       "90",
		"versions: [{ready: maybe}]":          "maybe",
		"versions: [{metrics: xml}]":          "xml",
		"versions: [{unschedulable: true}]":   "scheduler",
		"versions: [{errors: {every: 1m}}]":   "belong together",
		"versions: [{latency: {p50: 900ms}}]": "p99",
		"faults: [{at: 1s}]":                  "faults",
		"traffic: {rate: -1}":                 "rate",
	} {
		_, err := parseScenario(text)
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := parseVersion("match: {image: x}"); err == nil {
		t.Error("an annotation with match was taken")
	}
}
