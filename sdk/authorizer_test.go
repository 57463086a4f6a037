package sdk_test

import (
	"os"
	"strings"
	"testing"

	"github.com/millrace/millrace/sdk"
)

func init() {
	sdk.Authorizers.Register("prefixes", func(c sdk.Config) (sdk.Authorizer, error) {
		return &prefixes{admin: c.String("admin", "admin")}, nil
	})
}

// prefixes lets everybody use what begins with their name, and an administrator everything.
type prefixes struct{ admin string }

func (p *prefixes) Allowed(who *sdk.Requester, a sdk.Action) bool {
	return who.Principal.Name == p.admin || strings.HasPrefix(a.Name, who.Principal.Name+".")
}

func (p *prefixes) AllowedAny(*sdk.Requester, sdk.Operation, sdk.ResourceType) bool { return true }

// TestTheAuthorizerOfTheDocs runs the example of docs/acls.md, and looks whether it is this one.
func TestTheAuthorizerOfTheDocs(t *testing.T) {
	a, err := sdk.Authorizers.New("prefixes", sdk.NewConfig(map[string]string{"config.admin": "root"}))
	if err != nil {
		t.Fatal(err)
	}
	for who, want := range map[string]bool{"alice": true, "bob": false, "root": true} {
		action := sdk.Action{Operation: sdk.OperationRead, Type: sdk.ResourceTopic, Name: "alice.orders"}
		if got := a.Allowed(&sdk.Requester{Principal: sdk.Principal{Type: "User", Name: who}}, action); got != want {
			t.Errorf("%s may read: %v, want %v", who, got, want)
		}
	}
	page, err := os.ReadFile("../docs/acls.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("authorizer_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "func init() {\n")
	code, _, found := strings.Cut(rest, "```")
	if !found || !strings.Contains(string(source), code) {
		t.Fatal("docs/acls.md has no example, or another one than this test runs")
	}
}

func TestPrincipals(t *testing.T) {
	for text, want := range map[string]sdk.Principal{
		"User:alice": {Type: "User", Name: "alice"}, "User:CN=a,O=b:c": {Type: "User", Name: "CN=a,O=b:c"}, "Robot:": {Type: "Robot"},
	} {
		if got, err := sdk.ParsePrincipal(text); err != nil || got != want || got.String() != text {
			t.Errorf("%q is %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "alice", ":alice"} {
		if got, err := sdk.ParsePrincipal(text); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
}

func TestNamesOfOperations(t *testing.T) {
	for op := sdk.OperationAny; op <= sdk.OperationTwoPhaseCommit; op++ {
		var back sdk.Operation
		if err := back.UnmarshalText([]byte(op.String())); err != nil || back != op || !op.Known() {
			t.Errorf("%d is %s and comes back as %d: %v", op, op, back, err)
		}
	}
	for kind := sdk.ResourceAny; kind <= sdk.ResourceUser; kind++ {
		var back sdk.ResourceType
		if err := back.UnmarshalText([]byte(kind.String())); err != nil || back != kind || !kind.Known() {
			t.Errorf("%d is %s and comes back as %d: %v", kind, kind, back, err)
		}
	}
	var op sdk.Operation
	if sdk.Operation(99).Known() || sdk.Operation(-1).String() != "UNKNOWN" || op.UnmarshalText([]byte("UNKNOWN")) == nil || sdk.ResourceType(8).Known() {
		t.Error("what Kafka does not have is known")
	}
}
