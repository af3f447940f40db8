package main

// The Node objects and the sign of life that their controller waits for. It must not know pods.

import (
	"context"
	"fmt"
	"log"
	"sync/atomic"
	"time"

	coordination "k8s.io/api/coordination/v1"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	leaseNamespace = "kube-node-lease"
	leaseSeconds   = 40
	renewEvery     = 10 * time.Second
)

// node is one node of the cluster.
type node struct {
	name    string
	address string
	// cut: it is silent.
	cut atomic.Bool
}

func newNodes(count int) map[string]*node {
	nodes := map[string]*node{}
	for i := 1; i <= count; i++ {
		n := &node{name: fmt.Sprintf("node-%d", i), address: fmt.Sprintf("198.19.0.%d", i)}
		nodes[n.name] = n
	}
	return nodes
}

// live registers the node, and renews its lease until ctx ends.
func (n *node) live(ctx context.Context, client kubernetes.Interface, port int32, version string) {
	for registered := false; ; {
		pause := renewEvery
		if !n.cut.Load() {
			var err error
			if !registered {
				err = n.register(ctx, client, port, version)
				registered = err == nil
			}
			if err == nil {
				err = n.renew(ctx, client)
			}
			if err != nil {
				log.Printf("node %s: %v", n.name, err)
				pause = retryAfter
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (n *node) register(ctx context.Context, client kubernetes.Interface, port int32, version string) error {
	object := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.name, Labels: map[string]string{
		"kubernetes.io/hostname": n.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
	}}}
	created, err := client.CoreV1().Nodes().Create(ctx, object, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		created, err = client.CoreV1().Nodes().Get(ctx, n.name, metav1.GetOptions{})
	}
	if err != nil {
		return err
	}
	size := v1.ResourceList{
		v1.ResourceCPU: resource.MustParse("16"), v1.ResourceMemory: resource.MustParse("64Gi"),
		v1.ResourcePods: resource.MustParse("250"), v1.ResourceEphemeralStorage: resource.MustParse("100Gi"),
	}
	created.Status = v1.NodeStatus{
		Capacity: size, Allocatable: size,
		// The API server reaches the kubelet by the address of the kind it prefers; pods and users
		// see the other.
		Addresses: []v1.NodeAddress{
			{Type: v1.NodeInternalIP, Address: n.address},
			{Type: v1.NodeExternalIP, Address: "127.0.0.1"},
			{Type: v1.NodeHostName, Address: n.name},
		},
		DaemonEndpoints: v1.NodeDaemonEndpoints{KubeletEndpoint: v1.DaemonEndpoint{Port: port}},
		NodeInfo: v1.NodeSystemInfo{
			KubeletVersion: version, OperatingSystem: "linux", Architecture: "amd64",
			ContainerRuntimeVersion: "containerd://simulated", OSImage: "simulated", KernelVersion: "simulated",
		},
		Conditions: n.conditions(),
	}
	_, err = client.CoreV1().Nodes().UpdateStatus(ctx, created, metav1.UpdateOptions{})
	return err
}

func (n *node) conditions() []v1.NodeCondition {
	now := metav1.Now()
	conditions := []v1.NodeCondition{{
		Type: v1.NodeReady, Status: v1.ConditionTrue, Reason: "KubeletReady", Message: "kubelet is posting ready status",
	}}
	for kind, reason := range map[v1.NodeConditionType]string{
		v1.NodeMemoryPressure: "KubeletHasSufficientMemory", v1.NodeDiskPressure: "KubeletHasNoDiskPressure",
		v1.NodePIDPressure: "KubeletHasSufficientPID",
	} {
		conditions = append(conditions, v1.NodeCondition{Type: kind, Status: v1.ConditionFalse, Reason: reason})
	}
	for i := range conditions {
		conditions[i].LastHeartbeatTime, conditions[i].LastTransitionTime = now, now
	}
	return conditions
}

// renew shows the node controller that the node lives.
func (n *node) renew(ctx context.Context, client kubernetes.Interface) error {
	leases := client.CoordinationV1().Leases(leaseNamespace)
	now, seconds := metav1.NowMicro(), int32(leaseSeconds)
	lease, err := leases.Get(ctx, n.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = leases.Create(ctx, &coordination.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: n.name},
			Spec:       coordination.LeaseSpec{HolderIdentity: &n.name, LeaseDurationSeconds: &seconds, RenewTime: &now},
		}, metav1.CreateOptions{})
		return err
	}
	if err != nil {
		return err
	}
	lease.Spec.RenewTime = &now
	if _, err = leases.Update(ctx, lease, metav1.UpdateOptions{}); err != nil {
		return err
	}
	return n.recover(ctx, client)
}

// recover tells that the node is ready when its controller has given it up meanwhile.
func (n *node) recover(ctx context.Context, client kubernetes.Interface) error {
	object, err := client.CoreV1().Nodes().Get(ctx, n.name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for i := range object.Status.Conditions {
		if c := &object.Status.Conditions[i]; c.Type == v1.NodeReady && c.Status == v1.ConditionTrue {
			return nil
		}
	}
	object.Status.Conditions = n.conditions()
	_, err = client.CoreV1().Nodes().UpdateStatus(ctx, object, metav1.UpdateOptions{})
	return err
}
