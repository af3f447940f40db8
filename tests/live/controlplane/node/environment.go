package main

// What a container's environment needs from the cluster: ConfigMaps and Secrets that must be
// there, and the variables an app names itself by.

import (
	"context"
	"fmt"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// How long a kubelet waits for one answer of the API server.
const readTimeout = 10 * time.Second

// identity holds the names an app gives itself in its answers.
type identity struct {
	version     string // API_VERSION, or the image's tag
	track       string // DEPLOYMENT_TRACK, or a label
	environment string // NODE_ENV
}

// identify reads the names of a pod.
func identify(client kubernetes.Interface, pod *v1.Pod) identity {
	variable := func(name string) string {
		for i := range pod.Spec.Containers {
			for _, entry := range pod.Spec.Containers[i].Env {
				if entry.Name == name {
					return valueOf(client, pod.Namespace, &entry)
				}
			}
		}
		return ""
	}
	first := func(texts ...string) string {
		for _, text := range texts {
			if text != "" {
				return text
			}
		}
		return ""
	}
	tag := "latest"
	image := pod.Spec.Containers[0].Image
	if at := strings.LastIndexByte(image, ':'); at > strings.LastIndexByte(image, '/') {
		tag = image[at+1:]
	}
	return identity{
		version:     first(variable("API_VERSION"), tag),
		track:       first(variable("DEPLOYMENT_TRACK"), pod.Labels["track"], pod.Labels["version"], "unknown"),
		environment: variable("NODE_ENV"),
	}
}

func valueOf(client kubernetes.Interface, namespace string, entry *v1.EnvVar) string {
	if entry.ValueFrom == nil || entry.ValueFrom.ConfigMapKeyRef == nil {
		return entry.Value
	}
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	from := entry.ValueFrom.ConfigMapKeyRef
	held, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, from.Name, metav1.GetOptions{})
	if err != nil {
		return ""
	}
	return held.Data[from.Key]
}

// missing returns why the environment of a container cannot be built, in the kubelet's words, or
// nothing.
func missing(client kubernetes.Interface, namespace string, container *v1.Container) string {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	look := func(kind, name string, optional *bool, key string) string {
		if optional != nil && *optional {
			return ""
		}
		var has bool
		var err error
		if kind == "ConfigMap" {
			var held *v1.ConfigMap
			if held, err = client.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{}); err == nil {
				_, text := held.Data[key]
				_, binary := held.BinaryData[key]
				has = text || binary
			}
		} else {
			var held *v1.Secret
			if held, err = client.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{}); err == nil {
				_, has = held.Data[key]
			}
		}
		switch {
		case apierrors.IsNotFound(err):
			return fmt.Sprintf("%s %q not found", strings.ToLower(kind), name)
		case err != nil:
			return err.Error()
		case key != "" && !has:
			return fmt.Sprintf("couldn't find key %s in %s %s/%s", key, kind, namespace, name)
		}
		return ""
	}
	for _, entry := range container.Env {
		problem := ""
		switch from := entry.ValueFrom; {
		case from == nil:
		case from.ConfigMapKeyRef != nil:
			problem = look("ConfigMap", from.ConfigMapKeyRef.Name, from.ConfigMapKeyRef.Optional, from.ConfigMapKeyRef.Key)
		case from.SecretKeyRef != nil:
			problem = look("Secret", from.SecretKeyRef.Name, from.SecretKeyRef.Optional, from.SecretKeyRef.Key)
		}
		if problem != "" {
			return problem
		}
	}
	for _, entry := range container.EnvFrom {
		problem := ""
		switch {
		case entry.ConfigMapRef != nil:
			problem = look("ConfigMap", entry.ConfigMapRef.Name, entry.ConfigMapRef.Optional, "")
		case entry.SecretRef != nil:
			problem = look("Secret", entry.SecretRef.Name, entry.SecretRef.Optional, "")
		}
		if problem != "" {
			return problem
		}
	}
	return ""
}
