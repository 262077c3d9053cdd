import { t } from 'tap'
import { beginBesideOthers, loadTesterInstalled, skip } from '../scene.ts'
import { testExamples } from './examples.ts'

/** The examples with a check each ten seconds. With their own minute: `make test-long`. */
await beginBesideOthers(t)
t.jobs = 3
if (!skip) await loadTesterInstalled()
testExamples('10s', 10)
