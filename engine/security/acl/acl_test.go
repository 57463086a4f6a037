package acl

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/fuzz"
	"github.com/millrace/millrace/sdk"
)

func requester(principal, host string) *sdk.Requester {
	who, err := sdk.ParsePrincipal(principal)
	if err != nil {
		panic(err)
	}
	return &sdk.Requester{Principal: who, Peer: sdk.Peer{Host: netip.MustParseAddr(host)}}
}

// rule reads "allow User:a from * to READ LITERAL TOPIC orders".
func rule(t testing.TB, text string) Binding {
	t.Helper()
	w := strings.Fields(text)
	b := Binding{Principal: w[1], Host: w[3], Name: w[8], Permission: Allow, Pattern: Literal}
	if w[0] == "deny" {
		b.Permission = Deny
	}
	if w[6] == "PREFIXED" {
		b.Pattern = Prefixed
	}
	if err := b.Operation.UnmarshalText([]byte(w[5])); err != nil {
		t.Fatal(err)
	}
	if err := b.Resource.UnmarshalText([]byte(w[7])); err != nil {
		t.Fatal(err)
	}
	if err := b.Check(); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWhatCounts(t *testing.T) {
	const read, write, describe = sdk.OperationRead, sdk.OperationWrite, sdk.OperationDescribe
	for name, test := range map[string]struct {
		rules []string
		who   string
		host  string
		op    sdk.Operation
		want  bool
	}{
		"nothing is allowed that no rule allows":       {nil, "User:a", "10.0.0.1", read, false},
		"what is allowed":                              {[]string{"allow User:a from * to READ LITERAL TOPIC orders"}, "User:a", "10.0.0.1", read, true},
		"somebody else":                                {[]string{"allow User:a from * to READ LITERAL TOPIC orders"}, "User:b", "10.0.0.1", read, false},
		"something else":                               {[]string{"allow User:a from * to READ LITERAL TOPIC orders"}, "User:a", "10.0.0.1", write, false},
		"another resource":                             {[]string{"allow User:a from * to READ LITERAL TOPIC order"}, "User:a", "10.0.0.1", read, false},
		"another type":                                 {[]string{"allow User:a from * to READ LITERAL GROUP orders"}, "User:a", "10.0.0.1", read, false},
		"from the right host":                          {[]string{"allow User:a from 10.0.0.1 to READ LITERAL TOPIC orders"}, "User:a", "10.0.0.1", read, true},
		"from the wrong host":                          {[]string{"allow User:a from 10.0.0.2 to READ LITERAL TOPIC orders"}, "User:a", "10.0.0.1", read, false},
		"a host that is no address":                    {[]string{"allow User:a from localhost to READ LITERAL TOPIC orders"}, "User:a", "10.0.0.1", read, false},
		"an address written otherwise":                 {[]string{"allow User:a from 0:0:0:0:0:0:0:1 to READ LITERAL TOPIC orders"}, "User:a", "::1", read, true},
		"everybody":                                    {[]string{"allow User:* from * to READ LITERAL TOPIC orders"}, "Service:x", "10.0.0.1", read, true},
		"every topic":                                  {[]string{"allow User:a from * to READ LITERAL TOPIC *"}, "User:a", "10.0.0.1", read, true},
		"a prefix":                                     {[]string{"allow User:a from * to READ PREFIXED TOPIC ord"}, "User:a", "10.0.0.1", read, true},
		"the whole name as a prefix":                   {[]string{"allow User:a from * to READ PREFIXED TOPIC orders"}, "User:a", "10.0.0.1", read, true},
		"a prefix that is longer":                      {[]string{"allow User:a from * to READ PREFIXED TOPIC orders2"}, "User:a", "10.0.0.1", read, false},
		"a star in a prefix is a star":                 {[]string{"allow User:a from * to READ PREFIXED TOPIC *"}, "User:a", "10.0.0.1", read, false},
		"all operations":                               {[]string{"allow User:a from * to ALL LITERAL TOPIC orders"}, "User:a", "10.0.0.1", describe, true},
		"to read is to describe":                       {[]string{"allow User:a from * to READ LITERAL TOPIC orders"}, "User:a", "10.0.0.1", describe, true},
		"to alter settings is to describe them":        {[]string{"allow User:a from * to ALTER_CONFIGS LITERAL TOPIC orders"}, "User:a", "10.0.0.1", sdk.OperationDescribeConfigs, true},
		"to alter settings is not to describe":         {[]string{"allow User:a from * to ALTER_CONFIGS LITERAL TOPIC orders"}, "User:a", "10.0.0.1", describe, false},
		"to create is not to describe":                 {[]string{"allow User:a from * to CREATE LITERAL TOPIC orders"}, "User:a", "10.0.0.1", describe, false},
		"denied wins over allowed":                     {[]string{"allow User:a from * to READ LITERAL TOPIC orders", "deny User:a from * to READ LITERAL TOPIC orders"}, "User:a", "10.0.0.1", read, false},
		"denied by a prefix":                           {[]string{"allow User:a from * to READ LITERAL TOPIC orders", "deny User:* from * to READ PREFIXED TOPIC o"}, "User:a", "10.0.0.1", read, false},
		"denied everywhere":                            {[]string{"allow User:a from * to READ LITERAL TOPIC orders", "deny User:a from 10.0.0.1 to ALL LITERAL TOPIC *"}, "User:a", "10.0.0.1", read, false},
		"denied from elsewhere":                        {[]string{"allow User:a from * to READ LITERAL TOPIC orders", "deny User:a from 10.0.0.9 to READ LITERAL TOPIC orders"}, "User:a", "10.0.0.1", read, true},
		"who may not read may still describe":          {[]string{"allow User:a from * to WRITE LITERAL TOPIC orders", "deny User:a from * to READ LITERAL TOPIC orders"}, "User:a", "10.0.0.1", describe, true},
		"who may read and not describe":                {[]string{"allow User:a from * to READ LITERAL TOPIC orders", "deny User:a from * to DESCRIBE LITERAL TOPIC orders"}, "User:a", "10.0.0.1", describe, false},
		"a super user":                                 {[]string{"deny User:* from * to ALL LITERAL TOPIC *"}, "User:root", "10.0.0.1", write, true},
		"a name with colons":                           {[]string{"allow User:CN=a:b from * to READ LITERAL TOPIC orders"}, "User:CN=a:b", "10.0.0.1", read, true},
		"who is called like everybody is not all":      {[]string{"allow User:x from * to READ LITERAL TOPIC orders"}, "User:*", "10.0.0.1", read, false},
		"a principal of another type of the same name": {[]string{"allow User:a from * to READ LITERAL TOPIC orders"}, "Group:a", "10.0.0.1", read, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := New(Options{SuperUsers: []sdk.Principal{{Type: "User", Name: "root"}}})
			for _, text := range test.rules {
				a.Change([]Binding{rule(t, text)}, nil)
			}
			action := sdk.Action{Operation: test.op, Type: sdk.ResourceTopic, Name: "orders"}
			if got := a.Allowed(requester(test.who, test.host), action); got != test.want {
				t.Fatalf("%s from %s may %s: %v, want %v", test.who, test.host, test.op, got, test.want)
			}
		})
	}
}

func TestEveryoneIsAllowedWhatNoRuleIsAbout(t *testing.T) {
	a := New(Options{AllowEveryone: true})
	who := requester("User:a", "10.0.0.1")
	orders := sdk.Action{Operation: sdk.OperationRead, Type: sdk.ResourceTopic, Name: "orders"}
	if !a.Allowed(who, orders) {
		t.Fatal("denied, and there is no rule")
	}
	other := rule(t, "allow User:b from * to WRITE PREFIXED TOPIC ord")
	a.Change([]Binding{other}, nil)
	if a.Allowed(who, orders) {
		t.Fatal("allowed, and a rule about somebody else is about the topic")
	}
	if payments := (sdk.Action{Operation: sdk.OperationRead, Type: sdk.ResourceTopic, Name: "payments"}); !a.Allowed(who, payments) {
		t.Fatal("denied, and no rule is about the topic")
	}
	a.Change(nil, []Binding{other})
	if !a.Allowed(who, orders) {
		t.Fatal("denied after the rule went")
	}
}

// TestOneOfSeveralIsRemoved: others about the same resource stay (CVE-2024-27309).
func TestOneOfSeveralIsRemoved(t *testing.T) {
	a := New(Options{})
	keep := []Binding{rule(t, "allow User:a from * to READ LITERAL TOPIC orders"), rule(t, "deny User:b from * to READ LITERAL TOPIC orders"), rule(t, "allow User:* from * to READ LITERAL TOPIC orders")}
	gone := rule(t, "allow User:a from * to WRITE LITERAL TOPIC orders")
	a.Change(append(slices.Clone(keep), gone), nil)
	a.Change(nil, []Binding{gone})
	for who, want := range map[string]bool{"User:a": true, "User:b": false, "User:c": true} {
		action := sdk.Action{Operation: sdk.OperationRead, Type: sdk.ResourceTopic, Name: "orders"}
		if got := a.Allowed(requester(who, "10.0.0.1"), action); got != want {
			t.Errorf("%s may read: %v, want %v", who, got, want)
		}
		action.Operation = sdk.OperationWrite
		if a.Allowed(requester(who, "10.0.0.1"), action) {
			t.Errorf("%s may write", who)
		}
	}
}

// oracle is the slow, clear way: every binding is looked at for every question, as Kafka
// describes it.
type oracle struct {
	bindings map[Binding]bool
	super    string
	everyone bool
}

// about reports whether b is about a resource.
func about(b *Binding, t sdk.ResourceType, name string) bool {
	if b.Resource != t {
		return false
	}
	if b.Pattern == Prefixed {
		return strings.HasPrefix(name, b.Name)
	}
	return b.Name == name || b.Name == "*"
}

func concerns(b *Binding, principal, host string) bool {
	return (b.Principal == principal || b.Principal == "User:*") && (b.Host == host || b.Host == "*")
}

func (o *oracle) allowed(principal, host string, op sdk.Operation, t sdk.ResourceType, name string) bool {
	if principal == o.super {
		return true
	}
	some, allow := false, false
	for b := range o.bindings {
		if !about(&b, t, name) {
			continue
		}
		some = true
		if !concerns(&b, principal, host) {
			continue
		}
		same := b.Operation == op || b.Operation == sdk.OperationAll
		if b.Permission == Deny {
			if same {
				return false
			}
			continue
		}
		switch op {
		case sdk.OperationDescribe:
			same = same || b.Operation == sdk.OperationRead || b.Operation == sdk.OperationWrite || b.Operation == sdk.OperationDelete || b.Operation == sdk.OperationAlter
		case sdk.OperationDescribeConfigs:
			same = same || b.Operation == sdk.OperationAlterConfigs
		}
		allow = allow || same
	}
	return allow || !some && o.everyone
}

// any is Kafka's authorizeByResourceType, for operations that nothing implies.
func (o *oracle) any(principal, host string, op sdk.Operation, t sdk.ResourceType) bool {
	if o.allowed(principal, host, op, t, "hardcode") {
		return true
	}
	var allow, deny []Binding
	for b := range o.bindings {
		if b.Resource != t || !concerns(&b, principal, host) || b.Operation != op && b.Operation != sdk.OperationAll {
			continue
		}
		if b.Permission == Deny {
			deny = append(deny, b)
		} else {
			allow = append(allow, b)
		}
	}
	all := func(b Binding) bool { return b.Pattern == Literal && b.Name == "*" }
	if slices.ContainsFunc(deny, all) {
		return false
	}
	if slices.ContainsFunc(allow, all) {
		return true
	}
	return slices.ContainsFunc(allow, func(a Binding) bool {
		return !slices.ContainsFunc(deny, func(d Binding) bool {
			if d.Pattern == Prefixed {
				return strings.HasPrefix(a.Name, d.Name)
			}
			return a.Pattern == Literal && a.Name == d.Name
		})
	})
}

var (
	drawnNames = []string{"*", "a", "ab", "abc", "b", "ba", "hard", "hardcode"}
	drawnUsers = []string{"User:*", "User:a", "User:b", "Robot:a"}
	drawnHosts = []string{"*", "10.0.0.1", "10.0.0.2"}
	drawnTypes = []sdk.ResourceType{sdk.ResourceTopic, sdk.ResourceGroup}
)

func one[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func drawBinding(r *rand.Rand) Binding {
	return Binding{
		Resource: one(r, drawnTypes), Pattern: one(r, []Pattern{Literal, Prefixed}), Name: one(r, drawnNames), Principal: one(r, drawnUsers),
		Host: one(r, drawnHosts), Operation: sdk.OperationAll + sdk.Operation(r.IntN(14)), Permission: one(r, []Permission{Allow, Allow, Deny}),
	}
}

// TestModel has bindings come and go at random, and asks the authorizer and the oracle the
// same questions. A picture that was shown before must go on answering as it did.
func TestModel(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		o := &oracle{bindings: map[Binding]bool{}, super: "User:root", everyone: seed%3 == 0}
		a := New(Options{SuperUsers: []sdk.Principal{{Type: "User", Name: "root"}}, AllowEveryone: o.everyone})
		for range 30 {
			var added, removed []Binding
			for b := range o.bindings {
				if r.IntN(4) == 0 {
					removed = append(removed, b)
					delete(o.bindings, b)
				}
			}
			for range r.IntN(6) {
				if b := drawBinding(r); !o.bindings[b] && !slices.Contains(removed, b) {
					added = append(added, b)
					o.bindings[b] = true
				}
			}
			before := a.picture.Load()
			told := answers(before)
			a.Change(added, removed)
			if err := compare(r, a, o); err != nil {
				t.Fatalf("seed %d: %v; bindings %v", seed, err, o.bindings)
			}
			if again := answers(before); again != told {
				t.Fatalf("seed %d: a picture has changed that was shown before", seed)
			}
		}
	}
}

// compare asks both the same questions, and answers the first of which they think otherwise.
// What somebody may do with any resource is sought among that one's own patterns, which are all in the
// index, and no others.
func TestPatternsAreFoundByPrincipal(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	p, there := &Picture{}, []Binding{}
	for range 300 {
		var added, removed []Binding
		for range r.IntN(4) {
			added = append(added, drawBinding(r))
		}
		for len(there) > 20 {
			removed, there = append(removed, there[0]), there[1:]
		}
		before := indexed(p)
		next := p.With(added, removed)
		if indexed(p) != before {
			t.Fatal("an edit changes the picture before it")
		}
		p, there = next, append(there, added...)
		for i := range p.sections {
			for _, pattern := range []Pattern{Literal, Prefixed} {
				s, want := &p.sections[i], allowances{}
				for name, one := range *s.table(pattern) {
					for _, who := range one.allowed() {
						if want[who] == nil {
							want[who] = map[string]*rules{}
						}
						want[who][name] = one
					}
				}
				if got := *s.index(pattern); !maps.EqualFunc(got, want, maps.Equal) {
					t.Fatalf("the index has %v, want %v", got, want)
				}
			}
		}
	}
}

// indexed is the index of a picture as a text.
func indexed(p *Picture) string {
	var text strings.Builder
	for i := range p.sections {
		fmt.Fprintln(&text, p.sections[i].allowed)
	}
	return text.String()
}

func compare(r *rand.Rand, a *Authorizer, o *oracle) error {
	for range 60 {
		principal, host := one(r, []string{"User:a", "User:b", "Robot:a", "User:root", "User:c"}), one(r, drawnHosts[1:])
		op, kind, name := sdk.OperationRead+sdk.Operation(r.IntN(13)), one(r, drawnTypes), one(r, drawnNames)
		who := requester(principal, host)
		if got, want := a.Allowed(who, sdk.Action{Operation: op, Type: kind, Name: name}), o.allowed(principal, host, op, kind, name); got != want {
			return fmt.Errorf("%s from %s may %s %s %q: %v, want %v", principal, host, op, kind, name, got, want)
		}
		if op == sdk.OperationDescribe || op == sdk.OperationDescribeConfigs {
			continue
		}
		if got, want := a.AllowedAny(who, op, kind), o.any(principal, host, op, kind); got != want {
			return fmt.Errorf("%s from %s may %s any %s: %v, want %v", principal, host, op, kind, got, want)
		}
	}
	return nil
}

// answers is what a picture says of everybody and everything that the model test draws.
func answers(p *Picture) string {
	var text strings.Builder
	for _, user := range drawnUsers[1:] {
		for _, name := range drawnNames {
			m, some := p.of(requester(user, "10.0.0.1"), sdk.ResourceTopic, name)
			fmt.Fprintln(&text, m, some)
		}
	}
	return text.String()
}

// TestTheModelIsSeenToFail: the comparison must find an authorizer that is wrong.
func TestTheModelIsSeenToFail(t *testing.T) {
	o := &oracle{bindings: map[Binding]bool{rule(t, "deny User:* from * to ALL LITERAL TOPIC *"): true}}
	a := New(Options{AllowEveryone: true}) // and never told of the binding
	if compare(rand.New(rand.NewPCG(1, 1)), a, o) == nil {
		t.Fatal("an authorizer that has no bindings passed for one that has")
	}
}

func TestQuestionsTakeNoMemory(t *testing.T) {
	a := New(Options{SuperUsers: []sdk.Principal{{Type: "User", Name: "root"}}})
	var all []Binding
	for i := range 1000 {
		all = append(all, Binding{sdk.ResourceTopic, Prefixed, fmt.Sprintf("team-%d.", i), fmt.Sprintf("User:%d", i), "*", sdk.OperationRead, Allow})
	}
	a.Change(all, nil)
	who := requester("User:7", "10.0.0.1")
	if n := testing.AllocsPerRun(100, func() {
		if !a.Allowed(who, sdk.Action{Operation: sdk.OperationRead, Type: sdk.ResourceTopic, Name: "team-7.orders"}) || !a.AllowedAny(who, sdk.OperationRead, sdk.ResourceTopic) {
			t.Fatal("denied")
		}
	}); n != 0 {
		t.Fatalf("a question takes memory %v times, want 0", n)
	}
}

func BenchmarkAllowed(b *testing.B) {
	a := New(Options{})
	var all []Binding
	for i := range 10_000 {
		all = append(all, Binding{sdk.ResourceTopic, Prefixed, fmt.Sprintf("team-%d.", i), fmt.Sprintf("User:%d", i), "*", sdk.OperationRead, Allow})
	}
	a.Change(all, nil)
	who := requester("User:77", "10.0.0.1")
	b.ReportAllocs()
	for b.Loop() {
		if !a.Allowed(who, sdk.Action{Operation: sdk.OperationRead, Type: sdk.ResourceTopic, Name: "team-77.orders"}) {
			b.Fatal("denied")
		}
	}
}

func TestFilters(t *testing.T) {
	text := func(s string) *string { return &s }
	every := Filter{Resource: sdk.ResourceAny, Pattern: AnyPattern, Operation: sdk.OperationAny, Permission: AnyPermission}
	literal, star, prefix := rule(t, "allow User:a from * to READ LITERAL TOPIC orders"), rule(t, "deny User:b from 10.0.0.1 to ALL LITERAL TOPIC *"), rule(t, "allow User:a from * to WRITE PREFIXED TOPIC ord")
	group := rule(t, "allow User:a from * to READ LITERAL GROUP orders")
	for name, test := range map[string]struct {
		change func(*Filter)
		want   []Binding
	}{
		"everything":            {func(*Filter) {}, []Binding{literal, star, prefix, group}},
		"one type":              {func(f *Filter) { f.Resource = sdk.ResourceGroup }, []Binding{group}},
		"a name, as it is":      {func(f *Filter) { f.Name = text("orders") }, []Binding{literal, group}},
		"literal":               {func(f *Filter) { f.Pattern, f.Name = Literal, text("orders") }, []Binding{literal, group}},
		"literal, every name":   {func(f *Filter) { f.Pattern = Literal }, []Binding{literal, star, group}},
		"prefixed":              {func(f *Filter) { f.Pattern, f.Name = Prefixed, text("ord") }, []Binding{prefix}},
		"prefixed, other name":  {func(f *Filter) { f.Pattern, f.Name = Prefixed, text("orders") }, nil},
		"whatever counts":       {func(f *Filter) { f.Resource, f.Pattern, f.Name = sdk.ResourceTopic, Match, text("orders") }, []Binding{literal, star, prefix}},
		"whatever counts for x": {func(f *Filter) { f.Resource, f.Pattern, f.Name = sdk.ResourceTopic, Match, text("x") }, []Binding{star}},
		"the star itself":       {func(f *Filter) { f.Pattern, f.Name = Literal, text("*") }, []Binding{star}},
		"a principal":           {func(f *Filter) { f.Principal = text("User:b") }, []Binding{star}},
		"everybody is a name":   {func(f *Filter) { f.Principal = text("User:*") }, nil},
		"a host":                {func(f *Filter) { f.Host = text("10.0.0.1") }, []Binding{star}},
		"an operation":          {func(f *Filter) { f.Operation = sdk.OperationRead }, []Binding{literal, group}},
		"all operations":        {func(f *Filter) { f.Operation = sdk.OperationAll }, []Binding{star}},
		"a permission":          {func(f *Filter) { f.Permission = Deny }, []Binding{star}},
	} {
		t.Run(name, func(t *testing.T) {
			f := every
			test.change(&f)
			if err := f.Check(); err != nil {
				t.Fatal(err)
			}
			var found []Binding
			for _, b := range []Binding{literal, star, prefix, group} {
				if f.Finds(&b) {
					found = append(found, b)
				}
			}
			if !slices.Equal(found, test.want) {
				t.Fatalf("finds %v, want %v", found, test.want)
			}
		})
	}
}

func TestWhatIsNoBinding(t *testing.T) {
	good := Binding{sdk.ResourceTopic, Literal, "orders", "User:a", "*", sdk.OperationRead, Allow}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(*Binding)
		want   string
	}{
		"any type":            {func(b *Binding) { b.Resource = sdk.ResourceAny }, "Invalid resourceType ANY"},
		"no type of Kafka's":  {func(b *Binding) { b.Resource = 99 }, "Invalid resourceType UNKNOWN"},
		"match":               {func(b *Binding) { b.Pattern = Match }, "Invalid patternType MATCH"},
		"any operation":       {func(b *Binding) { b.Operation = sdk.OperationAny }, "Invalid operation ANY"},
		"operation too great": {func(b *Binding) { b.Operation = 16 }, "Invalid operation UNKNOWN"},
		"negative operation":  {func(b *Binding) { b.Operation = -1 }, "Invalid operation UNKNOWN"},
		"any permission":      {func(b *Binding) { b.Permission = AnyPermission }, "Invalid permissionType ANY"},
		"no name":             {func(b *Binding) { b.Name = "" }, "Invalid empty resource name"},
		"another cluster":     {func(b *Binding) { b.Resource = sdk.ResourceCluster }, "The only valid name for the CLUSTER resource is kafka-cluster"},
		"no principal":        {func(b *Binding) { b.Principal = "alice" }, "Could not parse principal from `alice` (no colon is present separating the principal type from the principal name)"},
		"bytes":               {func(b *Binding) { b.Host = "\xff" }, "The host is not UTF-8, or longer than 32767 bytes"},
		"a long principal":    {func(b *Binding) { b.Principal = "User:" + strings.Repeat("x", 32767) }, "The principal is not UTF-8, or longer than 32767 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			b := good
			test.change(&b)
			if err := b.Check(); err == nil || err.Error() != test.want {
				t.Fatalf("got %v, want %s", err, test.want)
			}
		})
	}
}

// FuzzSuperUsers: whoever is read is written as it was given.
func FuzzSuperUsers(f *testing.F) {
	for _, text := range []string{"", "User:a", "User:a;User:b", " User:CN=a,O=b ; ;Robot:x:y", "a", ":a", ";;"} {
		f.Add(text)
	}
	fuzz.Run(f, func(t *testing.T, text string) {
		users, err := ParseSuperUsers(text)
		if err != nil {
			return
		}
		var given []string
		for one := range strings.SplitSeq(text, ";") {
			if one = strings.TrimSpace(one); one != "" {
				given = append(given, one)
			}
		}
		var read []string
		for _, who := range users {
			read = append(read, who.String())
		}
		if !slices.Equal(read, given) {
			t.Fatalf("read %q, given %q", read, given)
		}
	})
}
