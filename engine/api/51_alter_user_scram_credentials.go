package api

import (
	"bytes"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/security"
	"github.com/millrace/millrace/sdk"
)

// AlterUserScramCredentials sets and removes passwords of users for SCRAM (KIP-554). What comes is a
// salted password, and what is kept of it cannot be used to log in.
//
//	v0 flexible
//
// Differs from Kafka: an empty salt, an empty salted password and a salt of more than a kibibyte are refused, and credentials of
// one user by two mechanisms can be altered at once, as KIP-554 and the example in Kafka's documentation
// have it; Kafka's controller takes them for one that is altered twice.
func alterUserScramCredentials(c *call, q *kmsg.AlterUserSCRAMCredentialsRequest, a *kmsg.AlterUserSCRAMCredentialsResponse) {
	if !c.onCluster(sdk.OperationAlter) {
		denyUsers(q, a)
		c.reply(a)
		return
	}
	var changes []cluster.ScramChange
	for i := range q.Deletions {
		d := &q.Deletions[i]
		changes = append(changes, cluster.ScramChange{ScramKey: cluster.ScramKey{User: d.Name, Mechanism: scramMechanisms[d.Mechanism]}})
	}
	for i := range q.Upsertions {
		u := &q.Upsertions[i]
		one := cluster.ScramChange{ScramKey: cluster.ScramKey{User: u.Name, Mechanism: scramMechanisms[u.Mechanism]}}
		one.Credential = &cluster.ScramCredential{Salt: bytes.Clone(u.Salt), Iterations: u.Iterations}
		if len(u.SaltedPassword) > 0 { // of any length, as Kafka takes it: only what is made of it is kept
			one.Credential.StoredKey, one.Credential.ServerKey = security.Keys(one.Mechanism, u.SaltedPassword)
		}
		changes = append(changes, one)
	}
	var answers []cluster.ScramAltered
	for _, user := range scramUsers(q) {
		answers = append(answers, cluster.ScramAltered{User: user}) // the controller may refuse without a decision
	}
	c.server.Controller.Change(func(image *cluster.Image) (records []cluster.Record, _ error) {
		records, answers = cluster.AlterScram(image, changes)
		return records, nil
	}, func(_ *cluster.Image, err error) {
		for _, answer := range answers {
			r := kmsg.NewAlterUserSCRAMCredentialsResponseResult()
			r.User = answer.User
			switch {
			case answer.Refusal != nil:
				r.ErrorCode, r.ErrorMessage = answer.Refusal.Wire()
			case err != nil:
				r.ErrorCode, r.ErrorMessage = code(err), told(err.Error())
			}
			a.Results = append(a.Results, r)
		}
		c.reply(a)
	})
}

// denyUsers answers all users of a request that whoever asks may not do that, each once.
func denyUsers(q *kmsg.AlterUserSCRAMCredentialsRequest, a *kmsg.AlterUserSCRAMCredentialsResponse) {
	for _, user := range scramUsers(q) {
		r := kmsg.NewAlterUserSCRAMCredentialsResponseResult()
		r.User = user
		r.ErrorCode, r.ErrorMessage = clusterDenied.Wire()
		a.Results = append(a.Results, r)
	}
}

// scramUsers are all users of a request, each once.
func scramUsers(q *kmsg.AlterUserSCRAMCredentialsRequest) []string {
	users := make(map[string]bool)
	for i := range q.Deletions {
		users[q.Deletions[i].Name] = true
	}
	for i := range q.Upsertions {
		users[q.Upsertions[i].Name] = true
	}
	return slices.Sorted(maps.Keys(users))
}
