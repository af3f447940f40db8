package main

// `node await` and `node ports`: the odd jobs of starting a cluster.

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	flow "k8s.io/api/flowcontrol/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// narrowUser is the test user that priority and fairness hold to a small queue, and the name of
// the objects that do it.
const narrowUser = "narrow"

// ports prints free ports, one a line: below the range the system hands out by itself, so that no
// client of another program takes one before its server does.
func ports(_ context.Context, arguments []string) error {
	flags := flag.NewFlagSet("ports", flag.ContinueOnError)
	count := flags.Int("count", 1, "how many")
	if err := parse(flags, arguments); err != nil {
		return err
	}
	for range *count {
		listener, err := freeListener()
		if err != nil {
			return err
		}
		// All are held until the last is found: none is given twice.
		defer listener.Close()
		fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	}
	return nil
}

func freeListener() (net.Listener, error) {
	const lowest, span, tries = 12000, 20000, 200
	for range tries {
		port := lowest + rand.IntN(span)
		if listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return listener, nil
		}
	}
	return nil, errors.New("no free port found")
}

// await waits until a cluster can be used.
func await(ctx context.Context, arguments []string) error {
	flags := flag.NewFlagSet("await", flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", "", "an administrator's")
	timeout := flags.Duration("timeout", time.Minute, "how long to wait")
	nodes := flags.Int("nodes", 0, "how many nodes must be ready")
	probe := flags.String("healthz", "", "further addresses that must answer 200, separated by commas")
	api := flags.Bool("api-only", false, "wait for the API server only")
	narrow := flags.Bool("narrow", false, "add the objects that hold the user "+narrowUser+" to a small queue")
	if err := parse(flags, arguments); err != nil {
		return err
	}
	client, _, err := connect(*kubeconfig)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	checks := []func(context.Context) error{func(ctx context.Context) error {
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	}}
	if !*api {
		checks = append(checks,
			func(ctx context.Context) error {
				_, err := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
				return err
			},
			func(ctx context.Context) error { return nodesReady(ctx, client, *nodes) })
	}
	for _, address := range strings.FieldsFunc(*probe, func(r rune) bool { return r == ',' }) {
		checks = append(checks, func(ctx context.Context) error { return healthy(ctx, address) })
	}
	for _, check := range checks {
		if err := until(ctx, check); err != nil {
			return err
		}
	}
	if *narrow {
		return addNarrow(ctx, client)
	}
	return nil
}

// until repeats a check until it succeeds; at the end of time it returns the last reason.
func until(ctx context.Context, check func(context.Context) error) error {
	for {
		one, cancel := context.WithTimeout(ctx, readTimeout)
		err := check(one)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; last: %w", ctx.Err(), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func nodesReady(ctx context.Context, client kubernetes.Interface, wanted int) error {
	list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	ready := 0
	for i := range list.Items {
		for _, condition := range list.Items[i].Status.Conditions {
			if condition.Type == "Ready" && condition.Status == "True" && len(list.Items[i].Spec.Taints) == 0 {
				ready++
			}
		}
	}
	if ready < wanted {
		return fmt.Errorf("%d of %d nodes are ready", ready, wanted)
	}
	return nil
}

// healthy asks one of our own servers on loopback, whose certificate is of its own making.
func healthy(ctx context.Context, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // loopback
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", address, response.Status)
	}
	return nil
}

// addNarrow holds one user to a priority level without a share, that queues nothing and borrows
// nothing: one request at a time is served, the others get 429. A server without this API is left
// as it is.
func addNarrow(ctx context.Context, client kubernetes.Interface) error {
	none := int32(0)
	level := &flow.PriorityLevelConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: narrowUser},
		Spec: flow.PriorityLevelConfigurationSpec{Type: flow.PriorityLevelEnablementLimited,
			Limited: &flow.LimitedPriorityLevelConfiguration{
				NominalConcurrencyShares: &none, LendablePercent: &none, BorrowingLimitPercent: &none,
				LimitResponse: flow.LimitResponse{Type: flow.LimitResponseTypeReject},
			}},
	}
	schema := &flow.FlowSchema{
		ObjectMeta: metav1.ObjectMeta{Name: narrowUser},
		Spec: flow.FlowSchemaSpec{
			PriorityLevelConfiguration: flow.PriorityLevelConfigurationReference{Name: narrowUser},
			MatchingPrecedence:         50,
			Rules: []flow.PolicyRulesWithSubjects{{
				Subjects: []flow.Subject{{Kind: flow.SubjectKindUser, User: &flow.UserSubject{Name: narrowUser}}},
				ResourceRules: []flow.ResourcePolicyRule{{
					Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"},
					ClusterScope: true, Namespaces: []string{"*"},
				}},
				NonResourceRules: []flow.NonResourcePolicyRule{{Verbs: []string{"*"}, NonResourceURLs: []string{"*"}}},
			}},
		},
	}
	_, err := client.FlowcontrolV1().PriorityLevelConfigurations().Create(ctx, level, metav1.CreateOptions{})
	if err == nil || apierrors.IsAlreadyExists(err) {
		_, err = client.FlowcontrolV1().FlowSchemas().Create(ctx, schema, metav1.CreateOptions{})
	}
	if apierrors.IsNotFound(err) || apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}
