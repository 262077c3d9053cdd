import { test } from 'tap'
import { alertReceiverOf, positiveOf } from '#settings.ts'

test('a number that makes no sense stops the start, with the name and a way out', async (t) => {
  t.equal(positiveOf({}, 'API_QPS', 400), 400)
  t.equal(positiveOf({ API_QPS: '50' }, 'API_QPS', 400), 50)
  t.equal(positiveOf({ API_QPS: '0.5' }, 'API_QPS', 400), 0.5)
  for (const text of ['0', '-1', 'many', '', 'Infinity', 'NaN']) {
    t.throws(() => positiveOf({ API_QPS: text }, 'API_QPS', 400), { message: `API_QPS is "${text}", which is no number above 0; write it like 400` })
  }
})

test('an address of the receiver for all that makes no sense stops the start, and is not shown: it may be a secret', async (t) => {
  for (const [name, address] of [['SLACK_URL', 'hooks.slack.com/services/T0/B0/secret'], ['MSTEAMS_URL', 'ftp://secret.example.org']] as const) {
    t.throws(() => alertReceiverOf({ [name]: address }), { message: `${name} is no http or https URL; write it like https://hooks.example.org/services/...` })
  }
})
