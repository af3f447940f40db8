package main

// `node credentials`: an authority of its own for each cluster, what it signs, and the files that
// name it. It must not talk to a cluster.

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"flag"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// users are the test users with a token; none has a right until a test binds one. `narrow` is held
// to a small queue by priority and fairness.
var users = []string{"user-1", "user-2", "user-3", "user-4", "user-5", "user-6", "user-7", "user-8", narrowUser}

const validity = 10 * 365 * 24 * time.Hour

type authority struct {
	folder      string
	certificate *x509.Certificate
	key         crypto.Signer
}

func credentials(_ context.Context, arguments []string) error {
	flags := flag.NewFlagSet("credentials", flag.ContinueOnError)
	folder := flags.String("folder", "", "where to write; must exist")
	server := flags.String("server", "", "address of the API server, https://…")
	reviews := flags.String("reviews", "", "address that reviews tokens, http://…")
	if err := parse(flags, arguments); err != nil {
		return err
	}
	a, err := newAuthority(*folder)
	if err != nil {
		return err
	}
	loopback := []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(10, 0, 0, 1)}
	names := []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"}
	for _, name := range []string{"apiserver", "kubelet"} {
		if err := a.issue(name, pkix.Name{CommonName: name}, &x509.Certificate{
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IPAddresses: loopback, DNSNames: names,
		}); err != nil {
			return err
		}
	}
	for name, subject := range map[string]pkix.Name{
		"apiserver-kubelet":  {CommonName: apiserverName},
		"admin":              {CommonName: "admin", Organization: []string{"system:masters"}},
		"node":               {CommonName: "live-node", Organization: []string{"system:masters"}},
		"controller-manager": {CommonName: "system:kube-controller-manager"},
		"scheduler":          {CommonName: "system:kube-scheduler"},
	} {
		if err := a.issue(name, subject, &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
			return err
		}
		if name == "apiserver-kubelet" {
			continue
		}
		if err := a.kubeconfig(name, *server); err != nil {
			return err
		}
	}
	if _, err := a.newKey("service-accounts"); err != nil {
		return err
	}
	if err := a.tokens(*server); err != nil {
		return err
	}
	webhook := clientcmdapi.NewConfig()
	webhook.Clusters["reviews"] = &clientcmdapi.Cluster{Server: *reviews}
	webhook.Contexts["reviews"] = &clientcmdapi.Context{Cluster: "reviews"}
	webhook.CurrentContext = "reviews"
	return clientcmd.WriteToFile(*webhook, filepath.Join(*folder, "reviews.kubeconfig"))
}

func newAuthority(folder string) (*authority, error) {
	a := &authority{folder: folder}
	key, err := a.newKey("ca")
	if err != nil {
		return nil, err
	}
	a.key = key
	a.certificate, err = a.sign("ca", key.Public(), &x509.Certificate{
		Subject: pkix.Name{CommonName: "live-ca"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	})
	return a, err
}

func (a *authority) issue(name string, subject pkix.Name, template *x509.Certificate) error {
	key, err := a.newKey(name)
	if err != nil {
		return err
	}
	template.Subject = subject
	template.KeyUsage = x509.KeyUsageDigitalSignature
	_, err = a.sign(name, key.Public(), template)
	return err
}

func (a *authority) newKey(name string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, a.write(name+".key", "EC PRIVATE KEY", der)
}

// sign signs with the authority's key; the authority itself is its own parent.
func (a *authority) sign(name string, public crypto.PublicKey, template *x509.Certificate) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().Add(validity)
	parent := a.certificate
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, a.key)
	if err != nil {
		return nil, err
	}
	if err := a.write(name+".crt", "CERTIFICATE", der); err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func (a *authority) write(name, kind string, der []byte) error {
	return os.WriteFile(filepath.Join(a.folder, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

// tokens writes the API server's list, and a kubeconfig for each test user.
func (a *authority) tokens(server string) error {
	list := &strings.Builder{}
	for _, user := range users {
		random := make([]byte, 16)
		if _, err := rand.Read(random); err != nil {
			return err
		}
		token := hex.EncodeToString(random)
		fmt.Fprintf(list, "%s,%s,%s\n", token, user, user)
		if err := a.config(user, server, &clientcmdapi.AuthInfo{Token: token}); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(a.folder, "tokens.csv"), []byte(list.String()), 0o600)
}

func (a *authority) kubeconfig(name, server string) error {
	certificate, err := os.ReadFile(filepath.Join(a.folder, name+".crt"))
	if err != nil {
		return err
	}
	key, err := os.ReadFile(filepath.Join(a.folder, name+".key"))
	if err != nil {
		return err
	}
	return a.config(name, server, &clientcmdapi.AuthInfo{ClientCertificateData: certificate, ClientKeyData: key})
}

// config writes a kubeconfig that needs no other file.
func (a *authority) config(name, server string, user *clientcmdapi.AuthInfo) error {
	pem, err := os.ReadFile(filepath.Join(a.folder, "ca.crt"))
	if err != nil {
		return err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["live"] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: pem}
	config.AuthInfos[name] = user
	config.Contexts["live"] = &clientcmdapi.Context{Cluster: "live", AuthInfo: name, Namespace: "default"}
	config.CurrentContext = "live"
	return clientcmd.WriteToFile(*config, filepath.Join(a.folder, name+".kubeconfig"))
}
