package security_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/millrace/millrace/sdk"
)

// The plugin of docs/security.md is the one of this package's example, which is compiled.
func TestDocsShowTheExample(t *testing.T) {
	page, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(page), "```go\npackage door\n")
	block, _, ended := strings.Cut(block, "```")
	example, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	if want, _ := strings.CutPrefix(string(example), "package security_test\n"); !found || !ended || block != want {
		t.Fatalf("docs/security.md does not show example_test.go as it is:\n%s", want)
	}
}

func TestTheExampleWorks(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "alice" || password != "hush" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer service.Close()
	// The settings of docs/security.md make it, with another address.
	page, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	_, key, found := strings.Cut(string(page), "authenticators=door\nplugin.door.config.")
	key, _, shown := strings.Cut(key, "=https://passwords.example.com/check\n")
	if !found || !shown {
		t.Fatal("docs/security.md does not show the settings of the example")
	}
	a, err := sdk.Authenticators.New("door", sdk.NewConfig(map[string]string{key: service.URL}))
	if err != nil {
		t.Fatal(err)
	}
	for message, fine := range map[string]bool{"\x00alice\x00hush": true, "\x00alice\x00": false, "alice": false} {
		_, who, err := a.Begin(sdk.Peer{}).Step(context.Background(), []byte(message))
		if (err == nil && who != nil && who.Principal.Name == "alice") != fine {
			t.Errorf("%q: %v", message, err)
		}
	}
	if _, err := sdk.Authenticators.New("door", sdk.NewConfig(nil)); err == nil {
		t.Error("it needs no url")
	}
}
