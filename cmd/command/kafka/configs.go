package kafka

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/cmd/command/configs"
	"github.com/millrace/millrace/cmd/command/option"
	"github.com/millrace/millrace/cmd/command/session"
	"github.com/twmb/franz-go/pkg/kerr"
)

func configsTool() *Tool {
	return &Tool{Name: "kafka-configs", run: runConfigs, fail: failConfigs, set: option.Set{
		Program: "kafka-configs",
		Summary: "This tool helps to manipulate and describe entity config for a topic, client, user, broker, ip, client-metrics or group",
		Options: withHelp(
			bootstrap("The Kafka servers to connect to."),
			required("bootstrap-controller", "controller to connect to", "The Kafka controllers to connect to."),
			adminConfig(),
			toggle("alter", "Alter the settings of an entity."), toggle("describe", "List the settings of an entity."),
			toggle("all", "List all settings that hold for the entity, wherever they come from."),
			repeated("entity-type", "type", "Type of entity (topics/clients/users/brokers/broker-loggers/ips/client-metrics/groups)"),
			repeated("entity-name", "name", "Name of entity (topic name/client id/user principal name/broker id/ip/client metrics/group id)"),
			option.Option{Name: "entity-default", Repeat: true, Help: "The default of clients/users/brokers/ips, instead of a name"},
			required("add-config", "k1=v1,k2=[v1,v2]", "Settings to add. Square brackets keep commas together."),
			required("add-config-file", "path", "Properties file with settings to add."),
			option.Option{Name: "delete-config", Argument: option.Required, Split: ",", Repeat: true, Metavar: "k1,k2", Help: "Settings to remove."},
			required("topic", "name", "The topic."), required("client", "id", "The client."), required("user", "name", "The user."),
			required("broker", "id", "The broker."), required("broker-logger", "id", "The broker whose loggers are meant."), required("ip", "address", "The address."),
			required("group", "id", "The group."), required("client-metrics", "name", "The client metrics resource."),
			toggle("client-defaults", "The default of clients."), toggle("user-defaults", "The default of users."),
			toggle("broker-defaults", "The default of brokers."), toggle("ip-defaults", "The default of addresses."),
		),
	}}
}

// entityFlags are the options that name an entity and its type at once, and those
// that stand for the default of a type.
var (
	entityFlags = [][2]string{{"topic", "topics"}, {"client", "clients"}, {"user", "users"}, {"broker", "brokers"},
		{"broker-logger", "broker-loggers"}, {"ip", "ips"}, {"client-metrics", "client-metrics"}, {"group", "groups"}}
	defaultFlags = [][2]string{{"client-defaults", "clients"}, {"user-defaults", "users"}, {"broker-defaults", "brokers"}, {"ip-defaults", "ips"}}
)

// entities pairs the types given with the names given, each in their order. A type
// without a name stands for all its entities.
func entities(g *option.Given) (all []configs.Entity, names int) {
	var kinds, called []string
	kinds = append(kinds, g.Texts("entity-type")...)
	next := 0
	for _, name := range g.Order() {
		switch name {
		case "entity-name":
			called = append(called, g.Texts("entity-name")[next])
			next++
		case "entity-default":
			called = append(called, "")
		}
	}
	for _, pair := range entityFlags {
		if g.Has(pair[0]) {
			kinds, called = append(kinds, pair[1]), append(called, g.Text(pair[0]))
		}
	}
	for _, pair := range defaultFlags {
		if g.Has(pair[0]) {
			kinds, called = append(kinds, pair[1]), append(called, "")
		}
	}
	for i, kind := range kinds {
		entity := configs.Entity{Type: kind, All: i >= len(called)}
		if i < len(called) {
			entity.Name = called[i]
		}
		all = append(all, entity)
	}
	return all, len(called)
}

func runConfigs(c *call) error {
	g := c.given
	if g.Count("alter", "describe") != 1 {
		return &session.Misuse{Text: "Command must include exactly one action: --describe, --alter"}
	}
	if err := g.Conflict("describe", "alter", "add-config", "delete-config"); err != nil {
		return err
	}
	all, names := entities(g)
	if err := checkEntities(g, all); err != nil {
		return &plainError{err.Error()}
	}
	if g.Has("alter") && len(all) != names {
		return &plainError{"An entity name must be specified for every entity type"}
	}
	changes, err := configChanges(g)
	if err != nil {
		return &plainError{err.Error()}
	}
	o, err := c.options("command-config", "")
	if err != nil {
		return err
	}
	if g.Has("bootstrap-controller") {
		o.Servers = g.Text("bootstrap-controller")
	}
	s, err := session.Open(c.ctx, o)
	if err != nil {
		return err
	}
	defer s.Close()
	if g.Has("describe") {
		if configs.IsQuota(all[0].Type) {
			return configs.DescribeQuotas(c.ctx, s, all)
		}
		return configs.Describe(c.ctx, s, all[0], g.Has("all"))
	}
	return alterConfigs(c, s, all, changes)
}

func alterConfigs(c *call, s *session.Session, all []configs.Entity, changes []configs.Change) error {
	if !configs.IsQuota(all[0].Type) {
		return configs.Alter(c.ctx, s, all[0], changes)
	}
	credentials := slices.ContainsFunc(changes, configs.IsCredential)
	if !credentials {
		return configs.AlterQuotas(c.ctx, s, all, changes)
	}
	if len(all) > 1 || all[0].Type != "users" || all[0].Name == "" {
		return &plainError{"SCRAM credentials belong to one user: name it with --entity-type users --entity-name, or with --user"}
	}
	if slices.ContainsFunc(changes, func(c configs.Change) bool { return !configs.IsCredential(c) }) {
		return &plainError{"Cannot alter both quota and SCRAM credential configs simultaneously for 'users' using --bootstrap-server."}
	}
	return configs.AlterCredentials(c.ctx, s, all[0].Name, changes)
}

// configChanges are those of --delete-config, then those that are added.
func configChanges(g *option.Given) ([]configs.Change, error) {
	if !g.Has("alter") {
		return nil, nil
	}
	var changes, added []configs.Change
	for _, name := range g.Texts("delete-config") {
		changes = append(changes, configs.Change{Name: strings.TrimSpace(name), Remove: true})
	}
	var err error
	switch {
	case g.Has("add-config") && g.Has("add-config-file"):
		err = errors.New("Only one of --add-config or --add-config-file must be specified")
	case g.Has("add-config"):
		added, err = configs.ParseAdd(g.Text("add-config"))
	case g.Has("add-config-file"):
		file := session.Properties{}
		if err = file.Load(g.Text("add-config-file")); err == nil {
			added, err = configs.FromProperties(file)
		}
	case len(changes) == 0:
		err = errors.New("At least one of --add-config, --add-config-file, or --delete-config must be specified with --alter")
	}
	return append(changes, added...), err
}

// checkEntities says what is wrong with the entities, in Kafka's words.
func checkEntities(g *option.Given, all []configs.Entity) error {
	if !g.HasAny("bootstrap-server", "bootstrap-controller") {
		return errors.New("Either --bootstrap-server or --bootstrap-controller must be specified.")
	}
	if g.Count("bootstrap-server", "bootstrap-controller") > 1 {
		return errors.New("Only one of --bootstrap-server or --bootstrap-controller can be specified")
	}
	var kinds []string
	for _, entity := range all {
		if slices.Contains(kinds, entity.Type) {
			return fmt.Errorf("Duplicate entity type(s) specified: %s", entity.Type)
		}
		if !slices.Contains(configs.Types, entity.Type) {
			return fmt.Errorf("Invalid entity type %s, the entity type must be one of %s with a --bootstrap-server or --bootstrap-controller argument",
				entity.Type, strings.Join(configs.Types, ", "))
		}
		kinds = append(kinds, entity.Type)
	}
	slices.Sort(kinds)
	switch {
	case len(kinds) == 0:
		return errors.New("At least one entity type must be specified")
	case len(kinds) > 1 && !slices.Equal(kinds, []string{"clients", "users"}):
		return errors.New("Only 'users' and 'clients' entity types may be specified together")
	case g.HasAny("entity-type", "entity-name", "entity-default") && hasEntityFlag(g):
		return errors.New("--entity-{type,name,default} should not be used in conjunction with specific entity flags")
	}
	for _, entity := range all {
		if err := checkEntity(g, entity); err != nil {
			return err
		}
	}
	return nil
}

func hasEntityFlag(g *option.Given) bool {
	return slices.ContainsFunc(append(slices.Clone(entityFlags), defaultFlags...), func(pair [2]string) bool { return g.Has(pair[0]) })
}

// checkEntity looks at one entity's name.
func checkEntity(g *option.Given, entity configs.Entity) error {
	hasDefault := slices.Contains([]string{"users", "clients", "brokers", "ips"}, entity.Type)
	switch {
	case entity.All && g.Has("alter") && hasDefault:
		return errors.New("An entity-name or default entity must be specified with --alter of users, clients, brokers or ips")
	case entity.Name == "" && g.Has("alter") && !hasDefault:
		return fmt.Errorf("An entity name must be specified with --alter of %s", entity.Type)
	case g.Has("describe") && g.Has("entity-default") && !hasDefault:
		return fmt.Errorf("--entity-default must not be specified with --describe of %s", entity.Type)
	case g.Has("describe") && entity.Type == "broker-loggers" && entity.Name == "":
		return errors.New("An entity name must be specified with --describe of broker-loggers")
	case entity.Name != "" && (entity.Type == "brokers" || entity.Type == "broker-loggers"):
		if _, err := strconv.ParseInt(entity.Name, 10, 32); err != nil {
			return fmt.Errorf("The entity name for %s must be a valid integer broker id, but it is: %s", entity.Type, entity.Name)
		}
	case entity.Name != "" && entity.Type == "ips":
		if _, err := net.LookupHost(entity.Name); err != nil {
			return fmt.Errorf("The entity name for %s must be a valid IP or resolvable host, but it is: %s", entity.Type, entity.Name)
		}
	}
	return nil
}

// failConfigs prints the broker's refusals the way Kafka's tool does: those about
// settings alone, others behind the command line.
func failConfigs(c *call, err error) int {
	var refusal *session.Refusal
	var plain *plainError
	var unreachable *session.Unreachable
	var denied *session.Denied
	switch {
	case errors.As(err, &plain), errors.As(err, &unreachable), errors.As(err, &denied):
		fmt.Fprintln(c.Err, err)
	case errors.Is(err, kerr.UnsupportedVersion):
		fmt.Fprintln(c.Err, session.Message(err))
	case errors.As(err, &refusal):
		fmt.Fprintf(c.Err, "Error while executing config command with args '%s'\njava.util.concurrent.ExecutionException: %s\n",
			strings.Join(c.args, " "), session.Exception(err))
	case !c.parsed():
		fmt.Fprintln(c.Err, err)
	default:
		return c.failed(err)
	}
	return 1
}
