package main

import (
	"testing"
	"time"
)

func TestATokenCountsUntilItsSecond(t *testing.T) {
	now := time.Unix(1000, 0)
	for token, name := range map[string]string{
		"until-1001-ann":            "ann",
		"until-1001-ann-b":          "ann-b",
		"until-1000-ann":            "",
		"until-1001-":               "",
		"until-1001":                "",
		"until-x-ann":               "",
		"1001-ann":                  "",
		"until-1001-system:masters": "",
	} {
		status := judge(token, now)
		if status.Authenticated != (name != "") || status.User.Username != name {
			t.Errorf("%s: %+v", token, status)
		}
	}
}
