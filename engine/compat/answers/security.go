package answers

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// security is who may do what, who is who, and how much.
var security = Set{Name: "security", Cases: slices.Concat(aclCases, scramCases, quotaCases)}

// binding is an ACL; change may be nil.
func binding(change func(*kmsg.CreateACLsRequestCreation)) kmsg.CreateACLsRequestCreation {
	c := kmsg.NewCreateACLsRequestCreation()
	c.ResourceType, c.ResourceName, c.ResourcePatternType = 2, "t", 3
	c.Principal, c.Host, c.Operation, c.PermissionType = "User:a", "*", 3, 3
	if change != nil {
		change(&c)
	}
	return c
}

func bind(bindings ...kmsg.CreateACLsRequestCreation) *kmsg.CreateACLsRequest {
	q := kmsg.NewPtrCreateACLsRequest()
	q.Creations = bindings
	return q
}

// wrong are bindings that have something which cannot be.
var wrong = []func(*kmsg.CreateACLsRequestCreation){
	func(c *kmsg.CreateACLsRequestCreation) { c.ResourceName = "" },
	func(c *kmsg.CreateACLsRequestCreation) { c.Principal = "a" },
	func(c *kmsg.CreateACLsRequestCreation) { c.Principal = "" },
	func(c *kmsg.CreateACLsRequestCreation) { c.Principal = "User:" },
	func(c *kmsg.CreateACLsRequestCreation) { c.Host = "" },
	func(c *kmsg.CreateACLsRequestCreation) { c.Host = "no-address" },
	func(c *kmsg.CreateACLsRequestCreation) { c.ResourceType, c.ResourceName = 4, "other" },
	func(c *kmsg.CreateACLsRequestCreation) { c.ResourceType, c.Operation = 3, 4 },
	func(c *kmsg.CreateACLsRequestCreation) { c.Operation = 12 },
	func(c *kmsg.CreateACLsRequestCreation) { c.ResourceType, c.Principal = 6, "User:x" },
	func(c *kmsg.CreateACLsRequestCreation) { c.ResourceType = 7 },
}

// unheard are bindings that Kafka takes for a broken request.
var unheard = []func(*kmsg.CreateACLsRequestCreation){
	func(c *kmsg.CreateACLsRequestCreation) { c.ResourceType = 0 },
	func(c *kmsg.CreateACLsRequestCreation) { c.ResourceType = 1 },
	func(c *kmsg.CreateACLsRequestCreation) { c.ResourceType = 99 },
	func(c *kmsg.CreateACLsRequestCreation) { c.ResourcePatternType = 0 },
	func(c *kmsg.CreateACLsRequestCreation) { c.ResourcePatternType = 1 },
	func(c *kmsg.CreateACLsRequestCreation) { c.ResourcePatternType = 2 },
	func(c *kmsg.CreateACLsRequestCreation) { c.Operation = 0 },
	func(c *kmsg.CreateACLsRequestCreation) { c.Operation = 1 },
	func(c *kmsg.CreateACLsRequestCreation) { c.Operation = 99 },
	func(c *kmsg.CreateACLsRequestCreation) { c.PermissionType = 0 },
	func(c *kmsg.CreateACLsRequestCreation) { c.PermissionType = 1 },
}

// found asks for the bindings that a filter finds.
func found(kind, pattern int8, name, principal, host *string, operation, permission int8) *kmsg.DescribeACLsRequest {
	q := kmsg.NewPtrDescribeACLsRequest()
	q.ResourceType, q.ResourcePatternType, q.ResourceName, q.Principal, q.Host = kmsg.ACLResourceType(kind), kmsg.ACLResourcePatternType(pattern), name, principal, host
	q.Operation, q.PermissionType = kmsg.ACLOperation(operation), kmsg.ACLPermissionType(permission)
	return q
}

// some makes bindings that filters may find.
func some(t *Talk) {
	t.Quietly(func() {
		t.Ask(3, bind(binding(func(c *kmsg.CreateACLsRequestCreation) { c.ResourceName = "orders" }),
			binding(func(c *kmsg.CreateACLsRequestCreation) { c.ResourceName, c.ResourcePatternType = "or", 4 }),
			binding(func(c *kmsg.CreateACLsRequestCreation) { c.ResourceName, c.PermissionType, c.Host = "*", 2, "10.0.0.1" }),
			binding(func(c *kmsg.CreateACLsRequestCreation) { c.ResourceType, c.Operation = 3, 2 })))
		t.Until(3, found(1, 1, nil, nil, nil, 1, 1), func(a kmsg.Response) bool {
			return len(a.(*kmsg.DescribeACLsResponse).Resources) == 4 //nolint:forcetypeassert // the answer to DescribeACLs
		})
	})
}

var (
	filters = []*kmsg.DescribeACLsRequest{
		found(1, 1, nil, nil, nil, 1, 1), found(2, 1, nil, nil, nil, 1, 1), found(2, 2, kmsg.StringPtr("orders"), nil, nil, 1, 1), found(2, 1, kmsg.StringPtr("orders"), nil, nil, 1, 1), found(2, 3, kmsg.StringPtr("orders"), nil, nil, 1, 1), found(2, 4, kmsg.StringPtr("orders"), nil, nil, 1, 1),
		found(2, 4, kmsg.StringPtr("or"), nil, nil, 1, 1), found(2, 2, nil, nil, nil, 1, 1), found(2, 2, kmsg.StringPtr("*"), nil, nil, 1, 1), found(2, 3, kmsg.StringPtr("*"), nil, nil, 1, 1), found(1, 1, nil, kmsg.StringPtr("User:a"), nil, 1, 1), found(1, 1, nil, kmsg.StringPtr("User:b"), nil, 1, 1), found(1, 1, nil, kmsg.StringPtr("a"), nil, 1, 1),
		found(1, 1, nil, nil, kmsg.StringPtr("*"), 1, 1), found(1, 1, nil, nil, kmsg.StringPtr("10.0.0.1"), 1, 1), found(1, 1, nil, nil, nil, 3, 1), found(1, 1, nil, nil, nil, 2, 1), found(1, 1, nil, nil, nil, 1, 2), found(1, 1, kmsg.StringPtr(""), nil, nil, 1, 1), found(1, 2, kmsg.StringPtr("t"), nil, nil, 1, 1),
	}
	unheardFilters = []*kmsg.DescribeACLsRequest{
		found(0, 1, nil, nil, nil, 1, 1), found(99, 1, nil, nil, nil, 1, 1), found(1, 0, nil, nil, nil, 1, 1), found(1, 99, nil, nil, nil, 1, 1), found(1, 1, nil, nil, nil, 0, 1), found(1, 1, nil, nil, nil, 99, 1), found(1, 1, nil, nil, nil, 1, 0), found(1, 1, nil, nil, nil, 1, 99),
	}
)

var aclCases = []Case{
	{Name: "create ACLs that are not right", Words: true, Ask: func(t *Talk) {
		t.AskAt(bind(), 1, 3)
		for _, change := range wrong {
			t.AskAt(bind(binding(change)), 1, 3)
		}
	}},
	{Name: "create ACLs of kinds that nobody knows", Words: true, Differs: "A binding that it does not know is refused alone: 30_create_acls.go.", Ask: func(t *Talk) {
		for _, change := range unheard {
			t.AskAt(bind(binding(change)), 1, 3)
		}
		t.Ask(3, bind(binding(func(c *kmsg.CreateACLsRequestCreation) { c.Host = "h1" }), binding(unheard[8])))
	}},
	{Name: "find ACLs", Words: true, Ask: func(t *Talk) {
		t.Quietly(func() {
			q := kmsg.NewPtrDeleteACLsRequest()
			f := kmsg.NewDeleteACLsRequestFilter()
			f.ResourceType, f.ResourcePatternType, f.Operation, f.PermissionType = 1, 1, 1, 1
			q.Filters = append(q.Filters, f)
			t.Ask(3, q)
		})
		some(t)
		for _, q := range filters {
			t.Ask(3, q)
		}
		t.AskAt(filters[0], 1, 2)
	}},
	{Name: "find ACLs of kinds that nobody knows", Words: true, Differs: "A filter that it does not know is refused: 29_describe_acls.go.", Ask: func(t *Talk) {
		for _, q := range unheardFilters {
			t.AskAt(q, 1, 3)
		}
	}},
	{Name: "delete ACLs", Words: true, Ask: func(t *Talk) {
		some(t)
		q := kmsg.NewPtrDeleteACLsRequest()
		t.AskAt(q, 1, 3)
		for _, one := range []int{5, 8, 11, 2, 14, 14} {
			f := kmsg.NewDeleteACLsRequestFilter()
			by := filters[one]
			f.ResourceType, f.ResourcePatternType, f.ResourceName, f.Principal, f.Host, f.Operation, f.PermissionType = by.ResourceType, by.ResourcePatternType, by.ResourceName, by.Principal, by.Host, by.Operation, by.PermissionType
			q.Filters = append(q.Filters, f)
		}
		t.Ask(3, q)
		t.Ask(3, q)
	}},
	{Name: "create an ACL twice", Words: true, Ask: func(t *Talk) {
		one := binding(func(c *kmsg.CreateACLsRequestCreation) { c.ResourceName = "double" })
		t.Ask(3, bind(one, one))
		t.Ask(3, bind(one))
		t.Until(3, found(2, 3, kmsg.StringPtr("double"), nil, nil, 1, 1), func(a kmsg.Response) bool {
			return len(a.(*kmsg.DescribeACLsResponse).Resources) == 1 //nolint:forcetypeassert // the answer to DescribeACLs
		})
	}},
}

// login is a change of a user's password: by mechanism and iterations; 0 iterations: it goes.
type login struct {
	user       string
	mechanism  int8
	iterations int32
}

func scram(logins ...login) *kmsg.AlterUserSCRAMCredentialsRequest {
	q := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
	for _, l := range logins {
		if l.iterations == 0 {
			d := kmsg.NewAlterUserSCRAMCredentialsRequestDeletion()
			d.Name, d.Mechanism = l.user, l.mechanism
			q.Deletions = append(q.Deletions, d)
			continue
		}
		u := kmsg.NewAlterUserSCRAMCredentialsRequestUpsertion()
		u.Name, u.Mechanism, u.Iterations, u.Salt = l.user, l.mechanism, l.iterations, []byte("a salt of 16 by.")
		u.SaltedPassword = letters('p', 32*int(max(1, min(2, l.mechanism))))
		q.Upsertions = append(q.Upsertions, u)
	}
	return q
}

func users(names ...string) *kmsg.DescribeUserSCRAMCredentialsRequest {
	q := kmsg.NewPtrDescribeUserSCRAMCredentialsRequest()
	for _, name := range names {
		u := kmsg.NewDescribeUserSCRAMCredentialsRequestUser()
		u.Name = name
		q.Users = append(q.Users, u)
	}
	return q
}

var scramCases = []Case{
	{Name: "credentials that are not right", Words: true, Ask: func(t *Talk) {
		t.Ask(0, scram())
		for _, l := range []login{
			{"", 1, 4096}, {"u", 1, 4095}, {"u", 2, 4095}, {"u", 1, 16385}, {"u", 1, -1}, {"u", 0, 4096}, {"u", 3, 4096}, {"u", -1, 4096}, {"u", 1, 0}, {"", 1, 0}, {"u", 0, 0}, {"u", 9, 0},
		} {
			t.Ask(0, scram(l))
		}
		t.Ask(0, scram(login{"u", 1, 4096}, login{"u", 1, 5000}))
		t.Ask(0, scram(login{"u", 1, 4096}, login{"u", 1, 0}))
		t.Ask(0, scram(login{"v", 1, 4095}, login{"w", 1, 0}))
		t.Ask(0, users())
	}},
	{Name: "credentials of a user by two mechanisms at once", Words: true, Differs: "It can be altered so, as KIP-554 has it: 51_alter_user_scram_credentials.go.", Ask: func(t *Talk) {
		t.Ask(0, scram(login{"both", 1, 4096}, login{"both", 2, 4096}))
		t.Quietly(func() { t.Ask(0, scram(login{"both", 1, 0})); t.Ask(0, scram(login{"both", 2, 0})) })
	}},
	{Name: "credentials of salted passwords as no mechanism makes them", Words: true, Ask: func(t *Talk) {
		for _, salted := range []string{"p", "of eighteen bytes.", string(letters('p', 1000))} {
			for mechanism := int8(1); mechanism <= 2; mechanism++ {
				q := scram(login{"odd", mechanism, 15000})
				q.Upsertions[0].Salt, q.Upsertions[0].SaltedPassword = []byte("my-salt"), []byte(salted)
				t.Ask(0, q)
			}
		}
		t.Quietly(func() { t.Ask(0, scram(login{"odd", 1, 0})); t.Ask(0, scram(login{"odd", 2, 0})) })
	}},
	{Name: "credentials", Words: true, Ask: func(t *Talk) {
		t.Ask(0, scram(login{"x", 1, 4096}, login{"y", 2, 16384}, login{"z", 1, 1}))
		t.Ask(0, scram(login{"x", 2, 8192}))
		t.Until(0, users("x"), func(a kmsg.Response) bool {
			r := a.(*kmsg.DescribeUserSCRAMCredentialsResponse).Results //nolint:forcetypeassert // the answer to DescribeUserScramCredentials
			return len(r) == 1 && len(r[0].CredentialInfos) == 2
		})
		t.Ask(0, users())
		t.Ask(0, users("x", "nobody", "y", "y", ""))
		t.Ask(0, scram(login{"x", 1, 0}, login{"nobody", 1, 0}, login{"y", 1, 0}))
		t.Until(0, users("x"), func(a kmsg.Response) bool {
			r := a.(*kmsg.DescribeUserSCRAMCredentialsResponse).Results //nolint:forcetypeassert // the answer to DescribeUserScramCredentials
			return len(r) == 1 && len(r[0].CredentialInfos) == 1
		})
	}},
}

// quotas asks for quotas by the kind of an entity and how it must match.
func quotas(strict bool, components ...any) *kmsg.DescribeClientQuotasRequest {
	q := kmsg.NewPtrDescribeClientQuotasRequest()
	q.Strict = strict
	for i := 0; i < len(components); i += 3 {
		c := kmsg.NewDescribeClientQuotasRequestComponent()
		c.EntityType, c.MatchType = components[i].(string), kmsg.QuotasMatchType(components[i+1].(int)) //nolint:forcetypeassert // as the cases have them
		if match, ok := components[i+2].(string); ok {
			c.Match = &match
		}
		q.Components = append(q.Components, c)
	}
	return q
}

var quotaCases = []Case{
	{Name: "describe quotas", Words: true, Ask: func(t *Talk) {
		t.AskAt(quotas(false), 0, 1)
		t.AskAt(quotas(true), 0, 1)
		t.AskAt(quotas(false, "user", 0, "a", "client-id", 1, nil), 0, 1)
		t.AskAt(quotas(true, "ip", 2, nil), 0, 1)
	}},
	{Name: "describe quotas of what there is not", Words: true, Ask: func(t *Talk) {
		for _, q := range []*kmsg.DescribeClientQuotasRequest{
			quotas(false, "planet", 0, "a"), quotas(false, "", 0, "a"), quotas(false, "user", 3, "a"), quotas(false, "user", 0, nil), quotas(false, "user", 1, "a"), quotas(false, "user", 2, "a"), quotas(false, "user", 0, "a", "user", 0, "b"), quotas(false, "user", 2, nil, "ip", 2, nil),
		} {
			t.AskAt(q, 0, 1)
		}
	}},
}
