package main

// Tokens that expire within seconds, for tests of exec plugins: `until-SECONDS-NAME` is the user
// NAME up to that second of Unix time. Such a user has the rights that are bound to it, and no
// group that has any.

import (
	"encoding/json"
	"log"
	"net/http"
	"strconv"
	"strings"
	"time"

	authentication "k8s.io/api/authentication/v1"
)

func reviewToken(rw http.ResponseWriter, r *http.Request) {
	var review authentication.TokenReview
	if err := json.NewDecoder(http.MaxBytesReader(rw, r.Body, 1<<20)).Decode(&review); err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	review.Status = judge(review.Spec.Token, time.Now())
	review.Spec = authentication.TokenReviewSpec{}
	rw.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(rw).Encode(review); err != nil {
		log.Print(err)
	}
}

func judge(token string, now time.Time) authentication.TokenReviewStatus {
	rest, ours := strings.CutPrefix(token, "until-")
	seconds, name, whole := strings.Cut(rest, "-")
	end, err := strconv.ParseInt(seconds, 10, 64)
	switch {
	case !ours || !whole || err != nil || name == "" || strings.HasPrefix(name, "system:"):
		return authentication.TokenReviewStatus{Error: "unknown token"}
	case now.Unix() >= end:
		return authentication.TokenReviewStatus{Error: "token has expired"}
	}
	return authentication.TokenReviewStatus{Authenticated: true, User: authentication.UserInfo{Username: name, UID: name}}
}
