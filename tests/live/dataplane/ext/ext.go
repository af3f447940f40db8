// Package ext stands for a module of Traefik's that the module proxy does not serve. It owns two
// empty structs that Traefik's configuration embeds; it must not hold anything else.
package ext

// HTTP adds nothing to the configuration of HTTP.
type HTTP struct{}

// Router adds nothing to the configuration of a router.
type Router struct{}
