// Command node is everything of a small cluster that is not Kubernetes' control plane: the nodes
// and what a kubelet does on them, and the odd jobs of starting a cluster (keys, ports, waiting).
//
//	node run           be the nodes of a cluster until SIGTERM
//	node credentials   write keys, certificates, tokens and kubeconfigs into a folder
//	node ports         print free ports
//	node await         wait until a cluster can be used, add what the tests share
//
// It owns the pods' behaviour and nothing that Kubernetes' own programs decide.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sort"
	"strings"
	"syscall"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

// A command reads its flags and runs until it is done or ctx ends.
type command func(ctx context.Context, arguments []string) error

var commands = map[string]command{
	"run":         run,
	"credentials": credentials,
	"ports":       ports,
	"await":       await,
}

// errUsage says that the arguments were wrong; the flag package has said how.
var errUsage = errors.New("wrong arguments")

func main() {
	klog.LogToStderr(true)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		names := make([]string, 0, len(commands))
		for name := range commands {
			names = append(names, name)
		}
		sort.Strings(names)
		fmt.Fprintln(os.Stderr, "usage: node "+strings.Join(names, "|")+" [FLAG]…")
		os.Exit(2)
	}
	err := commands[os.Args[1]](ctx, os.Args[2:])
	switch {
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintf(os.Stderr, "node %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

// parse reads flags and refuses anything that is left over.
func parse(flags *flag.FlagSet, arguments []string) error {
	if err := flags.Parse(arguments); err != nil {
		return errUsage
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "%s: unexpected argument %q\n", flags.Name(), flags.Arg(0))
		return errUsage
	}
	return nil
}

// connect returns a client for the cluster of a kubeconfig. Its own rate limit is off: the API
// server's is the one under test.
func connect(kubeconfig string) (*kubernetes.Clientset, *rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", kubeconfig, err)
	}
	config.QPS = -1
	config.UserAgent = "canaryctl-live-node"
	client, err := kubernetes.NewForConfig(config)
	return client, config, err
}
