package config

import (
	"fmt"

	"github.com/millrace/millrace/sdk/setting"
)

// Authorization: who may do what (docs/acls.md).
var (
	AuthorizerClass = security.String(setting.String{
		Name: "authorizer.class.name",
		Doc: "Who decides who may do what: Kafka's class StandardAuthorizer, with its package, which keeps ACLs (docs/acls.md), or the name of a plugin, " +
			"whose settings stand under plugin.<name>. Empty: everybody may do everything.",
	})
	SuperUsers = security.String(setting.String{
		Name: "super.users", Null: true,
		Doc: "Principals that may do everything, separated by semicolons: User:alice;User:bob. Of the standard authorizer.",
	})
	AllowEveryone = security.Bool(setting.Bool{
		Name: "allow.everyone.if.no.acl.found",
		Doc:  "Whether everybody may do what no ACL is about. Of the standard authorizer.",
	})
)

// unauthorized warns of settings that an authorizer would read, when there is none.
func unauthorized(v *setting.Values) (warnings []string) {
	if AuthorizerClass.Of(v) != "" {
		return nil
	}
	warn := func(name string) {
		warnings = append(warnings, fmt.Sprintf("%s has no effect without authorizer.class.name: everybody may do everything", name))
	}
	if SuperUsers.Of(v) != "" {
		warn("super.users")
	}
	if AllowEveryone.Of(v) {
		warn("allow.everyone.if.no.acl.found")
	}
	return warnings
}
