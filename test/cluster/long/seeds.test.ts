import { t } from 'tap'
import { beginBesideOthers, loadTesterInstalled, skip } from '../../scene.ts'
import { testExamples } from '../examples.ts'

/** The examples as they are written: with a check each minute, eight to ten minutes for all three. */
await beginBesideOthers(t)
t.jobs = 3
if (!skip) await loadTesterInstalled()
testExamples('1m', 60)
