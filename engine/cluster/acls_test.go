package cluster

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/engine/security/acl"
	"github.com/millrace/millrace/sdk"
)

func readers(names ...string) (all []acl.Binding) {
	for _, name := range names {
		all = append(all, acl.Binding{Resource: sdk.ResourceTopic, Pattern: acl.Literal, Name: name, Principal: "User:a", Host: "*", Operation: sdk.OperationRead, Permission: acl.Allow})
	}
	return all
}

func every() acl.Filter {
	return acl.Filter{Resource: sdk.ResourceAny, Pattern: acl.AnyPattern, Operation: sdk.OperationAny, Permission: acl.AnyPermission}
}

func TestACLsComeAndGo(t *testing.T) {
	empty := Empty()
	bad := readers("")[0]
	records, refusals := CreateACLs(empty, append(readers("a", "b", "a"), bad))
	if len(records) != 2 || refusals[0] != nil || refusals[1] != nil || refusals[2] != nil {
		t.Fatalf("%d records, refused %v; want 2 and only the last", len(records), refusals)
	}
	if !errors.Is(refusals[3], kerr.InvalidRequest) || refusals[3].Message != "Invalid empty resource name" {
		t.Fatalf("the one without a name: %v", refusals[3])
	}
	i := apply(t, empty, records)
	if got := i.ACLs(); !slices.Equal(got, readers("a", "b")) {
		t.Fatalf("there are %v", got)
	}
	if again, _ := CreateACLs(i, readers("b")); len(again) != 0 {
		t.Fatalf("what was there is added again: %v", again)
	}
	if i.SameACLs(empty) || !i.SameACLs(apply(t, i, nil)) {
		t.Fatal("images with other bindings are the same, or with the same others")
	}
	b := "b"
	one, all, none := every(), every(), every()
	one.Name, none.Operation = &b, 77
	gone, answers := DeleteACLs(i, []acl.Filter{one, all, none})
	if len(gone) != 2 || len(answers[0].Bindings) != 1 || len(answers[1].Bindings) != 2 || !errors.Is(answers[2].Refusal, kerr.InvalidRequest) {
		t.Fatalf("%d records, %+v", len(gone), answers)
	}
	if left := apply(t, i, gone).ACLs(); len(left) != 0 {
		t.Fatalf("left are %v", left)
	}
}

func TestACLRecordsThatDoNotFit(t *testing.T) {
	a := readers("a")[0]
	i := apply(t, Empty(), []Record{&ACLRecord{a}})
	for name, record := range map[string]Record{
		"a binding twice":          &ACLRecord{a},
		"one that is none":         &ACLRecord{readers("")[0]},
		"one gone that is not yet": &RemoveACLRecord{readers("b")[0]},
	} {
		if _, err := i.Apply([]Record{record}); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// TestACLHistory has bindings come and go at random. What differs between two images, the
// snapshot, and the check are held against a plain set.
func TestACLHistory(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	i, model := Empty(), map[acl.Binding]bool{}
	for step := range 500 {
		before, was := i, len(model)
		var records []Record
		came, went := 0, 0
		for range 1 + r.IntN(5) {
			b := readers(strconv.Itoa(r.IntN(40)))[0]
			switch {
			case !model[b]:
				records, model[b] = append(records, &ACLRecord{b}), true
				came++
			default:
				records = append(records, &RemoveACLRecord{b})
				delete(model, b)
				went++
			}
		}
		i = apply(t, i, records)
		if err := i.Check(); err != nil {
			t.Fatal(err)
		}
		d := i.Since(before)
		if len(before.ACLs()) != was || len(i.ACLs()) != len(model) || len(d.NewACLs)-len(d.GoneACLs) != came-went {
			t.Fatalf("step %d: %d bindings, want %d; %d came and %d went", step, len(i.ACLs()), len(model), len(d.NewACLs), len(d.GoneACLs))
		}
		for _, b := range d.NewACLs {
			if !model[b] {
				t.Fatalf("step %d: %v is told to have come", step, b)
			}
		}
		parsed, err := Parse(Append(nil, i.Records()))
		if len(model) == 0 {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if again := apply(t, Empty(), parsed); !reflect.DeepEqual(again.ACLs(), i.ACLs()) {
			t.Fatalf("step %d: the snapshot has %v, want %v", step, again.ACLs(), i.ACLs())
		}
	}
}
