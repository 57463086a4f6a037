package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/sdk"
)

// scramMechanisms are those that requests know by a number.
var scramMechanisms = map[int8]string{1: cluster.ScramSHA256, 2: cluster.ScramSHA512}

// DescribeUserScramCredentials tells which users have passwords for SCRAM, and nothing of those but
// their iterations (KIP-554).
//
//	v0 flexible
//
// Differs from Kafka: nothing.
func describeUserScramCredentials(c *call, q *kmsg.DescribeUserSCRAMCredentialsRequest, a *kmsg.DescribeUserSCRAMCredentialsResponse) {
	if !c.onCluster(sdk.OperationDescribe) {
		a.ErrorCode = clusterDenied.Code.Code
		for range q.Users {
			r := kmsg.NewDescribeUserSCRAMCredentialsResponseResult()
			r.ErrorCode = clusterDenied.Code.Code
			a.Results = append(a.Results, r)
		}
		c.reply(a)
		return
	}
	a.ErrorMessage = kmsg.StringPtr("") // as Kafka has it
	image := c.server.Controller.Image()
	var users []string
	asked := map[string]int{}
	for _, u := range q.Users {
		if asked[u.Name]++; asked[u.Name] == 1 {
			users = append(users, u.Name)
		}
	}
	if len(users) == 0 {
		for _, of := range image.ScramUsers() {
			if len(users) == 0 || users[len(users)-1] != of.User {
				users = append(users, of.User)
			}
		}
	}
	for _, user := range users {
		r := kmsg.NewDescribeUserSCRAMCredentialsResponseResult()
		r.User, r.ErrorMessage = user, kmsg.StringPtr("")
		for number := int8(1); int(number) <= len(scramMechanisms); number++ {
			if known := image.ScramCredential(user, scramMechanisms[number]); known != nil {
				info := kmsg.NewDescribeUserSCRAMCredentialsResponseResultCredentialInfo()
				info.Mechanism, info.Iterations = number, known.Iterations
				r.CredentialInfos = append(r.CredentialInfos, info)
			}
		}
		switch {
		case asked[user] > 1:
			r.ErrorCode, r.CredentialInfos = kerr.DuplicateResource.Code, nil
			r.ErrorMessage = told("Cannot describe SCRAM credentials for the same user twice in a single request: " + user)
		case len(r.CredentialInfos) == 0:
			r.ErrorCode = kerr.ResourceNotFound.Code
			r.ErrorMessage = told("Attempt to describe a user credential that does not exist: " + user)
		}
		a.Results = append(a.Results, r)
	}
	c.reply(a)
}
