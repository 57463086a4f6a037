package configs

import (
	"reflect"
	"testing"

	"github.com/millrace/millrace/engine/fuzz"
)

func TestParseAdd(t *testing.T) {
	for list, want := range map[string][]Change{
		"a=1":                  {{Name: "a", Value: "1"}},
		"a = 1 , b=[x,y=z],c=": {{Name: "a", Value: "1"}, {Name: "b", Value: "x,y=z"}, {Name: "c"}},
		"a=1,a=2":              {{Name: "a", Value: "2"}},
		"SCRAM-SHA-256=[iterations=1,password=p]": {{Name: "SCRAM-SHA-256", Value: "iterations=1,password=p"}},
	} {
		if got, err := ParseAdd(list); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v, want %v", list, got, err, want)
		}
	}
	for _, list := range []string{"a", "a=1=2", "a b=1", ""} {
		if got, err := ParseAdd(list); err == nil {
			t.Errorf("%q was read as %v", list, got)
		}
	}
}

func TestParseCredential(t *testing.T) {
	for value, want := range map[string]struct {
		iterations int32
		password   string
	}{"password=p": {4096, "p"}, "iterations=8192,password=a=b": {8192, "a=b"}, "iterations=-1,password=": {4096, ""}} {
		iterations, password, err := parseCredential(Change{Name: "SCRAM-SHA-256", Value: value})
		if err != nil || iterations != want.iterations || password != want.password {
			t.Errorf("%s: %d %q %v", value, iterations, password, err)
		}
	}
	for _, value := range []string{"secret", "iterations=x,password=p", "iterations=1,password=p"} {
		if _, _, err := parseCredential(Change{Name: "SCRAM-SHA-256", Value: value}); err == nil {
			t.Errorf("%s was accepted", value)
		}
	}
}

func FuzzParseAdd(f *testing.F) {
	f.Add("a=1,b=[x,y]")
	f.Add("]],[=")
	fuzz.Run(f, func(t *testing.T, list string) {
		changes, err := ParseAdd(list)
		for _, c := range changes {
			if err == nil && c.Remove {
				t.Fatalf("%q removes %q", list, c.Name)
			}
		}
	})
}
