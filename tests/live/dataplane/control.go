package main

// The control API on loopback: who comes, and what they got. It must not change how it is divided.
//
//	GET    /planes                 the ways in, by name
//	GET    /configuration/{plane}  what Traefik made of the objects
//	GET    /counts/{plane}/{host}  what users of a host got; DELETE begins anew with those who ask later
//	POST   /loads/{id}             lets users come: a Load
//	GET    /loads/{id}             what they saw; DELETE ends them

import (
	"encoding/json"
	"log"
	"net/http"
	"sync"
)

// control returns the API.
func control(planes map[string]*plane, counts *counts) http.Handler {
	var mu sync.Mutex
	loads := map[string]*users{}
	find := func(w http.ResponseWriter, r *http.Request) *users {
		mu.Lock()
		defer mu.Unlock()
		found := loads[r.PathValue("id")]
		if found == nil {
			http.Error(w, "no such load", http.StatusNotFound)
		}
		return found
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /planes", func(w http.ResponseWriter, _ *http.Request) {
		addresses := map[string]string{}
		for name, way := range planes {
			addresses[name] = way.address
		}
		say(w, addresses)
	})
	mux.HandleFunc("GET /configuration/{plane}", func(w http.ResponseWriter, r *http.Request) {
		if way := planes[r.PathValue("plane")]; way != nil {
			say(w, way.shown())
			return
		}
		http.Error(w, "no such plane", http.StatusNotFound)
	})
	mux.HandleFunc("GET /counts/{plane}/{host}", func(w http.ResponseWriter, r *http.Request) {
		say(w, counts.of(crowdKey{r.PathValue("plane"), r.PathValue("host")}, false))
	})
	mux.HandleFunc("DELETE /counts/{plane}/{host}", func(w http.ResponseWriter, r *http.Request) {
		say(w, counts.of(crowdKey{r.PathValue("plane"), r.PathValue("host")}, true))
	})
	mux.HandleFunc("POST /loads/{id}", func(w http.ResponseWriter, r *http.Request) {
		load := &Load{}
		if err := json.NewDecoder(r.Body).Decode(load); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		way := planes[load.Plane]
		if way == nil {
			http.Error(w, "no such plane", http.StatusBadRequest)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if loads[r.PathValue("id")] != nil {
			http.Error(w, "there is such a load", http.StatusConflict)
			return
		}
		loads[r.PathValue("id")] = begin(way.address, load)
		say(w, load)
	})
	mux.HandleFunc("GET /loads/{id}", func(w http.ResponseWriter, r *http.Request) {
		if found := find(w, r); found != nil {
			say(w, found.now())
		}
	})
	mux.HandleFunc("DELETE /loads/{id}", func(w http.ResponseWriter, r *http.Request) {
		if found := find(w, r); found != nil {
			seen := found.end()
			mu.Lock()
			delete(loads, r.PathValue("id"))
			mu.Unlock()
			say(w, seen)
		}
	})
	return mux
}

func say(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(value); err != nil {
		log.Print(err)
	}
}
