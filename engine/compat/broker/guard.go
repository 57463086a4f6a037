package broker

import (
	"fmt"
	"strings"
)

// Administrator is the user who may do everything where there is a Guard.
const Administrator = "admin"

// Password is that of a user.
func Password(user string) string { return user + "-secret" }

// Guard are settings, for ours and for Apache Kafka, by which clients of the listener SASL_PLAINTEXT prove who they are, by
// PLAIN or SCRAM, and may do what ACLs allow. These users have passwords of PLAIN; those of SCRAM are set as clients set
// them. Who comes by the listener PLAINTEXT may do everything, as the administrator may.
func Guard(users ...string) []string {
	var plain strings.Builder
	for _, user := range append([]string{Administrator}, users...) {
		fmt.Fprintf(&plain, " user_%s=%q", user, Password(user))
	}
	const listener, modules = "listener.name.sasl_plaintext.", "org.apache.kafka.common.security."
	return []string{
		"sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
		listener + "plain.sasl.jaas.config=" + modules + "plain.PlainLoginModule required" + plain.String() + ";",
		listener + "scram-sha-256.sasl.jaas.config=" + modules + "scram.ScramLoginModule required;",
		listener + "scram-sha-512.sasl.jaas.config=" + modules + "scram.ScramLoginModule required;",
		"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"super.users=User:ANONYMOUS;User:" + Administrator,
	}
}

// Beside are settings by which Millrace has a guarded listener beside the open one.
func Beside(open, guarded string) []string {
	return []string{"listeners=PLAINTEXT://" + open + ",SASL_PLAINTEXT://" + guarded}
}

// A Login is what a client is told to prove who it is.
type Login struct{ Mechanism, User, Password string }

// JAAS is the login in the form of Kafka's setting sasl.jaas.config.
func (l Login) JAAS() string {
	module := "scram.ScramLoginModule"
	if l.Mechanism == "PLAIN" {
		module = "plain.PlainLoginModule"
	}
	return fmt.Sprintf(`org.apache.kafka.common.security.%s required username="%s" password="%s";`, module, l.User, l.Password)
}

// Properties are the lines of a Java client's settings.
func (l Login) Properties() []string {
	return []string{"security.protocol=SASL_PLAINTEXT", "sasl.mechanism=" + l.Mechanism, "sasl.jaas.config=" + l.JAAS()}
}
