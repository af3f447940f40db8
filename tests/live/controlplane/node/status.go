package main

// The status that a pod's containers add up to. Pure: it reads a pod and writes nothing.

import (
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// status returns what the object's status must be; call it with the lock held. What others wrote
// into it stays.
func (p *pod) status() v1.PodStatus {
	status := *p.object.Status.DeepCopy()
	host := p.world.hostIP(p.host)
	taken := metav1.NewTime(p.taken.Truncate(time.Second))
	status.ObservedGeneration = p.object.Generation
	status.HostIP, status.HostIPs = host, []v1.HostIP{{IP: host}}
	status.PodIP, status.PodIPs = p.ip, []v1.PodIP{{IP: p.ip}}
	status.StartTime = &taken
	status.ContainerStatuses = nil
	started, ready, failed := true, true, false
	var unready []string
	for _, c := range p.containers {
		started = started && c.wasStarted()
		failed = failed || c.stage == over && (c.last == nil || c.last.ExitCode != 0)
		if !c.ready {
			ready = false
			unready = append(unready, c.spec.Name)
		}
		status.ContainerStatuses = append(status.ContainerStatuses, truncated(c.status(p.uid)))
	}
	status.InitContainerStatuses = p.initStatuses(taken)
	switch {
	case p.ended() && failed:
		status.Phase = v1.PodFailed
	case p.ended():
		status.Phase = v1.PodSucceeded
	case started:
		status.Phase = v1.PodRunning
	default:
		status.Phase = v1.PodPending
	}
	why, message := "", ""
	if !ready {
		why, message = "ContainersNotReady", "containers with unready status: ["+strings.Join(unready, " ")+"]"
	}
	if p.ended() && !failed {
		why, message = "PodCompleted", ""
	}
	p.set(&status, v1.PodReadyToStartContainers, !p.ended(), "", "")
	p.set(&status, v1.PodInitialized, true, "", "")
	p.set(&status, v1.ContainersReady, ready, why, message)
	if gate := unmetGate(p.object); ready && gate != "" {
		ready, why = false, "ReadinessGatesNotReady"
		message = "the status of pod readiness gate \"" + gate + "\" is not \"True\", but False"
	}
	p.set(&status, v1.PodReady, ready, why, message)
	return status
}

// set writes one condition; its time changes only with its value.
func (p *pod) set(status *v1.PodStatus, kind v1.PodConditionType, value bool, reason, message string) {
	wanted := v1.PodCondition{
		Type: kind, Status: v1.ConditionFalse, Reason: reason, Message: message,
		ObservedGeneration: p.object.Generation,
		LastTransitionTime: metav1.NewTime(time.Now().Truncate(time.Second)),
	}
	if value {
		wanted.Status = v1.ConditionTrue
	}
	for i := range status.Conditions {
		known := &status.Conditions[i]
		if known.Type == kind {
			if known.Status == wanted.Status {
				wanted.LastTransitionTime = known.LastTransitionTime
			}
			*known = wanted
			return
		}
	}
	status.Conditions = append(status.Conditions, wanted)
}

// initStatuses shows init containers as done: nothing here is about them.
func (p *pod) initStatuses(taken metav1.Time) []v1.ContainerStatus {
	var statuses []v1.ContainerStatus
	for i := range p.object.Spec.InitContainers {
		spec := &p.object.Spec.InitContainers[i]
		sidecar := spec.RestartPolicy != nil && *spec.RestartPolicy == v1.ContainerRestartPolicyAlways
		c := v1.ContainerStatus{
			Name: spec.Name, Image: spec.Image, ImageID: imageID(spec.Image), Ready: true, Started: &sidecar,
			ContainerID: "containerd://" + p.uid + "-" + spec.Name,
		}
		if sidecar {
			c.State.Running = &v1.ContainerStateRunning{StartedAt: taken}
		} else {
			c.State.Terminated = &v1.ContainerStateTerminated{
				Reason: "Completed", StartedAt: taken, FinishedAt: taken, ContainerID: c.ContainerID,
			}
		}
		statuses = append(statuses, c)
	}
	return statuses
}

// unmetGate returns the first readiness gate that is not true.
func unmetGate(object *v1.Pod) string {
	for _, gate := range object.Spec.ReadinessGates {
		met := false
		for _, condition := range object.Status.Conditions {
			met = met || condition.Type == gate.ConditionType && condition.Status == v1.ConditionTrue
		}
		if !met {
			return string(gate.ConditionType)
		}
	}
	return ""
}

// truncated returns a status with whole seconds, as the API server keeps them: otherwise it would
// never be equal to what was written.
func truncated(status v1.ContainerStatus) v1.ContainerStatus {
	for _, state := range []*v1.ContainerState{&status.State, &status.LastTerminationState} {
		if state.Running != nil {
			state.Running.StartedAt = seconds(state.Running.StartedAt)
		}
		if t := state.Terminated; t != nil {
			whole := *t
			whole.StartedAt, whole.FinishedAt = seconds(t.StartedAt), seconds(t.FinishedAt)
			state.Terminated = &whole
		}
	}
	return status
}

func seconds(t metav1.Time) metav1.Time { return metav1.NewTime(t.Truncate(time.Second)) }
