'use strict'
// Proves who it is to a broker with KafkaJS, produces a few records and reads them back. It exits with 3 when the broker
// does not let it in.

const { Kafka, logLevel, Partitioners } = require('kafkajs')

const REFUSED = 3
const topic = process.env.COMPAT_TOPIC
const kafka = new Kafka({
  clientId: 'login', brokers: [process.env.COMPAT_BOOTSTRAP], logLevel: logLevel.NOTHING, retry: { retries: 5 },
  sasl: { mechanism: process.env.COMPAT_MECHANISM.toLowerCase(), username: process.env.COMPAT_USER, password: process.env.COMPAT_PASSWORD },
})

async function main () {
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, allowAutoTopicCreation: true })
  await producer.connect()
  await producer.send({ topic, messages: Array.from({ length: 10 }, (_, n) => ({ value: String(n) })) })
  await producer.disconnect()
  const consumer = kafka.consumer({ groupId: topic })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  const got = []
  await new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error('read ' + got)), 30_000).unref()
    consumer.run({
      eachMessage: async ({ message }) => {
        if (got.push(message.value.toString()) === 10) resolve()
      },
    }).catch(reject)
  })
  await consumer.disconnect()
  if (got.join() !== '0,1,2,3,4,5,6,7,8,9') throw new Error('read ' + got)
}

main().catch(e => {
  const refused = [e.name, e.cause && e.cause.name].includes('KafkaJSSASLAuthenticationError')
  console.log(e.name, e.message)
  process.exit(refused ? REFUSED : 1)
})
