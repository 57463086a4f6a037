package configs

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/cmd/command/java"
	"github.com/millrace/millrace/cmd/command/session"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// quotaTypes are the types whose settings are quotas, as the protocol names them
// and as sentences do.
var quotaTypes = map[string][2]string{
	"users": {"user", "user-principal"}, "clients": {"client-id", "client-id"}, "ips": {"ip", "ip"},
}

// IsQuota reports whether the settings of a type are quotas.
func IsQuota(kind string) bool { return quotaTypes[kind][0] != "" }

// DescribeQuotas prints the quotas of users, clients, addresses, or of clients of
// a user. An entity that is All matches every name.
func DescribeQuotas(ctx context.Context, s *session.Session, entities []Entity) error {
	if !s.Supports(kmsg.DescribeClientQuotas) {
		return s.ErrUnsupported(kmsg.DescribeClientQuotas)
	}
	var components []kadm.DescribeClientQuotaComponent
	for _, entity := range entities {
		component := kadm.DescribeClientQuotaComponent{Type: quotaTypes[entity.Type][0]}
		switch {
		case entity.All:
			component.MatchType = kmsg.QuotasMatchTypeAny
		case entity.Name == "":
			component.MatchType = kmsg.QuotasMatchTypeDefault
		default:
			component.MatchType, component.MatchName = kmsg.QuotasMatchTypeExact, &entity.Name
		}
		components = append(components, component)
	}
	found, err := s.Admin.DescribeClientQuotas(ctx, true, components)
	if err != nil {
		return fmt.Errorf("describe client quotas: %w", err)
	}
	for _, one := range found {
		fmt.Fprintf(s.Out, "Quota configs for %s are %s\n", quotaEntity(one.Entity), quotaValues(one.Values))
	}
	if len(entities) == 1 && entities[0].Type == "users" && (entities[0].All || entities[0].Name != "") {
		return describeCredentials(ctx, s, entities[0])
	}
	return nil
}

// quotaEntity is user-principal 'alice', the default client-id.
func quotaEntity(entity kadm.ClientQuotaEntity) string {
	var parts []string
	for _, kind := range []string{"users", "clients", "ips"} {
		for _, one := range entity {
			switch {
			case one.Type != quotaTypes[kind][0]:
			case one.Name == nil:
				parts = append(parts, "the default "+quotaTypes[kind][1])
			default:
				parts = append(parts, fmt.Sprintf("%s '%s'", quotaTypes[kind][1], *one.Name))
			}
		}
	}
	return strings.Join(parts, ", ")
}

func quotaValues(values kadm.ClientQuotaValues) string {
	var parts []string
	for _, one := range values {
		parts = append(parts, one.Key+"="+java.Double(one.Value))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// AlterQuotas changes quotas; the entities together name who they are for.
func AlterQuotas(ctx context.Context, s *session.Session, entities []Entity, changes []Change) error {
	if !s.Supports(kmsg.AlterClientQuotas) {
		return s.ErrUnsupported(kmsg.AlterClientQuotas)
	}
	var entry kadm.AlterClientQuotaEntry
	for _, entity := range entities {
		component := kadm.ClientQuotaEntityComponent{Type: quotaTypes[entity.Type][0]}
		if entity.Name != "" {
			component.Name = &entity.Name
		}
		entry.Entity = append(entry.Entity, component)
	}
	for _, change := range changes {
		op := kadm.AlterClientQuotaOp{Key: change.Name, Remove: change.Remove}
		if !change.Remove {
			var err error
			if op.Value, err = strconv.ParseFloat(change.Value, 64); err != nil {
				return fmt.Errorf("Cannot parse quota configuration value for %s: %s", change.Name, change.Value)
			}
		}
		entry.Ops = append(entry.Ops, op)
	}
	answers, err := s.Admin.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{entry})
	if err != nil {
		return fmt.Errorf("alter client quotas: %w", err)
	}
	for _, one := range answers {
		if one.Err != nil {
			return session.Refused(one.Err, one.ErrMessage)
		}
	}
	completed(s, entities[0])
	return nil
}

var mechanisms = map[string]kadm.ScramMechanism{"SCRAM-SHA-256": kadm.ScramSha256, "SCRAM-SHA-512": kadm.ScramSha512}

// IsCredential reports whether a change is about a password, not a quota.
func IsCredential(c Change) bool { return mechanisms[c.Name] != 0 }

func describeCredentials(ctx context.Context, s *session.Session, user Entity) error {
	if !s.Supports(kmsg.DescribeUserSCRAMCredentials) {
		return s.ErrUnsupported(kmsg.DescribeUserSCRAMCredentials)
	}
	var names []string
	if !user.All {
		names = []string{user.Name}
	}
	found, err := s.Admin.DescribeUserSCRAMs(ctx, names...)
	if err != nil {
		return fmt.Errorf("describe SCRAM credentials: %w", err)
	}
	for _, one := range found.Sorted() {
		if one.Err != nil {
			continue // a user without credentials has nothing to print
		}
		var infos []string
		for _, info := range one.CredInfos {
			infos = append(infos, fmt.Sprintf("%s=iterations=%d", info.Mechanism, info.Iterations))
		}
		fmt.Fprintf(s.Out, "SCRAM credential configs for user-principal '%s' are %s\n", one.User, strings.Join(infos, ", "))
	}
	return nil
}

// AlterCredentials sets or removes a user's passwords: SCRAM-SHA-256 to
// [iterations=8192,password=secret].
func AlterCredentials(ctx context.Context, s *session.Session, user string, changes []Change) error {
	if !s.Supports(kmsg.AlterUserSCRAMCredentials) {
		return s.ErrUnsupported(kmsg.AlterUserSCRAMCredentials)
	}
	var remove []kadm.DeleteSCRAM
	var set []kadm.UpsertSCRAM
	for _, change := range changes {
		mechanism := mechanisms[change.Name]
		if change.Remove {
			remove = append(remove, kadm.DeleteSCRAM{User: user, Mechanism: mechanism})
			continue
		}
		iterations, password, err := parseCredential(change)
		if err != nil {
			return err
		}
		set = append(set, kadm.UpsertSCRAM{User: user, Mechanism: mechanism, Iterations: iterations, Password: password})
	}
	answers, err := s.Admin.AlterUserSCRAMs(ctx, remove, set)
	if err != nil {
		return fmt.Errorf("alter SCRAM credentials: %w", err)
	}
	for _, one := range answers.Sorted() {
		if one.Err != nil {
			return session.Refused(one.Err, one.ErrMessage)
		}
	}
	completed(s, Entity{Type: "users", Name: user})
	return nil
}

func parseCredential(c Change) (iterations int32, password string, err error) {
	head, password, ok := strings.Cut(c.Value, "password=")
	count := strings.TrimSuffix(strings.TrimPrefix(head, "iterations="), ",")
	n := int64(4096)
	if count != "" && count != "-1" {
		n, err = strconv.ParseInt(count, 10, 32)
	}
	if !ok || err != nil {
		return 0, "", fmt.Errorf("Invalid credential property %s=%s", c.Name, c.Value)
	}
	if n < 4096 {
		return 0, "", fmt.Errorf("Iterations %d is less than the minimum 4096 required for %s", n, c.Name)
	}
	return int32(n), password, nil
}
