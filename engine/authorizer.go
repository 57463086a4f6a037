package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/engine/security/acl"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/setting"
)

// zooKeeperAuthorizer is the authorizer that Kafka had before the standard one.
const zooKeeperAuthorizer = "kafka.security.authorizer.AclAuthorizer"

// authorization is who decides who may do what. The zero value has nobody decide.
type authorization struct {
	authorizer sdk.Authorizer
	acls       *acl.Authorizer // the same, when it decides by ACLs of the metadata log
}

// newAuthorization makes the authorizer that the settings name.
func newAuthorization(v *setting.Values, now func() time.Time, log *slog.Logger) (authorization, error) {
	switch name := config.AuthorizerClass.Of(v); name {
	case "":
		return authorization{}, nil
	case acl.StandardName:
		super, err := acl.ParseSuperUsers(config.SuperUsers.Of(v))
		if err != nil {
			return authorization{}, err
		}
		standard := acl.New(acl.Options{SuperUsers: super, AllowEveryone: config.AllowEveryone.Of(v)})
		return authorization{standard, standard}, nil
	case zooKeeperAuthorizer:
		return authorization{}, fmt.Errorf("authorizer.class.name=%s: that one kept its ACLs in ZooKeeper; use %s, which takes the same ACLs", name, acl.StandardName)
	default:
		plugin, err := newAuthorizerPlugin(name, v)
		if err != nil {
			return authorization{}, fmt.Errorf("authorizer.class.name=%s: %w", name, err)
		}
		return authorization{authorizer: &guard{plugin: plugin, name: name, log: log, now: now}}, nil
	}
}

// newAuthorizerPlugin makes the plugin of that name from its settings, plugin.<name>. and
// whatever follows. Its type is the name by which it is registered, its own when not given.
func newAuthorizerPlugin(name string, v *setting.Values) (sdk.Authorizer, error) {
	prefix := config.PluginPrefix + name + "."
	own := map[string]string{}
	for key, text := range v.Family(config.PluginPrefix) {
		if rest, ok := strings.CutPrefix(key, prefix); ok {
			own[rest] = text
		}
	}
	kind := name
	if given, ok := own["type"]; ok {
		kind = given
		delete(own, "type")
	}
	if !sdk.Authorizers.Has(kind) {
		return nil, fmt.Errorf("there is no authorizer of that name (there are: %s); Java classes cannot be loaded, and going on without one would be unsafe",
			strings.Join(append([]string{acl.StandardName}, sdk.Authorizers.Names()...), ", "))
	}
	plugin, err := sdk.Authorizers.New(kind, sdk.NewConfig(own))
	if err == nil && plugin == nil {
		err = errors.New("the plugin made no authorizer")
	}
	return plugin, err
}

// guard has a plugin that panics deny. Any goroutine may ask it.
type guard struct {
	plugin sdk.Authorizer
	name   string
	log    *slog.Logger
	now    func() time.Time
	logged atomic.Int64 // the second in which a panic was logged last
	silent atomic.Int64 // panics since
}

func (g *guard) Allowed(who *sdk.Requester, a sdk.Action) (allowed bool) {
	defer g.denyIfBroken(&allowed)
	return g.plugin.Allowed(who, a)
}

func (g *guard) AllowedAny(who *sdk.Requester, op sdk.Operation, t sdk.ResourceType) (allowed bool) {
	defer g.denyIfBroken(&allowed)
	return g.plugin.AllowedAny(who, op, t)
}

func (g *guard) denyIfBroken(allowed *bool) {
	if failure := recover(); failure != nil {
		*allowed = false
		if now := g.now().Unix(); g.logged.Swap(now) == now {
			g.silent.Add(1)
			return
		}
		g.log.Error("the authorizer panicked, and what was asked for is denied", "authorizer", g.name, "panic", failure, "notLogged", g.silent.Swap(0))
	}
}
