package cluster

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Topics that the brokers keep for themselves.
const (
	OffsetsTopic      = "__consumer_offsets"
	TransactionsTopic = "__transaction_state"
	ShareStateTopic   = "__share_group_state"
	// MetadataTopic is the log that this package describes. It is no topic that anybody may create.
	MetadataTopic = "__cluster_metadata"
)

// maxNameLength leaves room in a folder's name for the partition and for "-delete".
const maxNameLength = 249

// Internal reports whether a topic of this name is one that the brokers keep for themselves.
func Internal(name string) bool {
	return name == OffsetsTopic || name == TransactionsTopic || name == ShareStateTopic
}

// CheckName refuses a name that no topic can have.
func CheckName(name string) *Refusal {
	var reason string
	switch {
	case name == "":
		reason = "the empty string is not allowed"
	case name == ".":
		reason = "'.' is not allowed"
	case name == "..":
		reason = "'..' is not allowed"
	case len(name) > maxNameLength:
		reason = "the length of '" + strings.ToValidUTF8(name, "\uFFFD") + "' is longer than the max allowed length 249"
	case strings.IndexFunc(name, notAllowed) >= 0:
		reason = "'" + strings.ToValidUTF8(name, "\uFFFD") + "' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
	default:
		return nil
	}
	return refuse(kerr.InvalidTopicException, "Topic name is invalid: %s", reason)
}

func notAllowed(c rune) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		return false
	}
	return true
}

// unify answers the form in which two names are equal when their metrics would be, and
// whether the name has a character for which that can happen.
func unify(name string) (string, bool) {
	if !strings.ContainsAny(name, "._") {
		return "", false
	}
	return strings.ReplaceAll(name, ".", "_"), true
}
