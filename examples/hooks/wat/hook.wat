;; The conformance hook written by hand; README.md beside this folder says what it does. Addresses are those of the
;; component model's canonical ABI: each record field after the other, aligned; a text is an address and a length.
(module
  (import "swap:hooks/log@0.1.0" "info" (func $log-info (param i32 i32)))
  (import "swap:hooks/log@0.1.0" "warn" (func $log-warn (param i32 i32)))
  (import "swap:hooks/config@0.1.0" "get" (func $config-get (param i32 i32 i32)))
  (import "swap:hooks/exec@0.1.0" "run" (func $exec-run (param i32 i32)))
  (import "swap:hooks/http@0.1.0" "send"
    (func $http-send (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i64 i32 i32)))
  (import "swap:hooks/inspect@0.1.0" "state" (func $inspect-state (param i32 i32 i32)))
  (import "swap:hooks/metrics@0.1.0" "measure" (func $metrics-measure (param i32 i32 i32)))
  (import "swap:hooks/state@0.1.0" "delete" (func $state-delete (param i32 i32 i32)))
  (import "swap:hooks/state@0.1.0" "compare-and-set"
    (func $state-compare-and-set (param i32 i32 i32 i32 i32 i32 i32 i32 i32)))

  (memory (export "memory") 2)

  ;; Texts.
  (data (i32.const 1024) "prepared")
  (data (i32.const 1040) "one-off")
  (data (i32.const 1056) "prepare")
  (data (i32.const 1072) "prepare exited with ")
  (data (i32.const 1104) "path")
  (data (i32.const 1120) "/up")
  (data (i32.const 1136) "http://candidate")
  (data (i32.const 1168) "GET")
  (data (i32.const 1184) " answered ")
  (data (i32.const 1200) "refused")
  (data (i32.const 1216) "invalid")
  (data (i32.const 1232) "candidate")
  (data (i32.const 1248) "restarts")
  (data (i32.const 1264) "it was restarted ")
  (data (i32.const 1296) " times")
  (data (i32.const 1312) "since-switch")
  (data (i32.const 1328) "failures")
  (data (i32.const 1344) " of ")
  (data (i32.const 1360) " requests failed")
  (data (i32.const 1392) "no reason")
  (data (i32.const 1408) "service:db")
  (data (i32.const 1424) "announce")
  (data (i32.const 1440) " now runs ")

  ;; 2048: what an import answered. 3072: what this hook answers. 4096: the command for exec.
  ;; 8192: the text in the making. 65536: what swap puts here.
  (global $length (mut i32) (i32.const 0))
  (global $top (mut i32) (i32.const 65536))

  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $top) (i32.const 15)) (i32.const -16)))
    (global.set $top (i32.add (local.get $at) (local.get 3)))
    (block $fits
      (br_if $fits (i32.le_u (global.get $top) (i32.mul (memory.size) (i32.const 65536))))
      (drop (memory.grow (i32.add (i32.const 1) (i32.div_u (local.get 3) (i32.const 65536))))))
    (local.get $at))

  ;; Adds to the text in the making.
  (func $add (param $at i32) (param $count i32)
    (memory.copy (i32.add (i32.const 8192) (global.get $length)) (local.get $at) (local.get $count))
    (global.set $length (i32.add (global.get $length) (local.get $count))))

  (func $add-number (param $number i64)
    (if (i64.ge_u (local.get $number) (i64.const 10))
      (then (call $add-number (i64.div_u (local.get $number) (i64.const 10)))))
    (i32.store8 (i32.const 2040)
      (i32.add (i32.const 48) (i32.wrap_i64 (i64.rem_u (local.get $number) (i64.const 10)))))
    (call $add (i32.const 2040) (i32.const 1)))

  ;; Tells whether two texts of seven bytes are the same.
  (func $same (param $one i32) (param $other i32) (result i32)
    (i32.and
      (i32.eq (i32.load align=1 (local.get $one)) (i32.load align=1 (local.get $other)))
      (i32.eq (i32.load offset=3 align=1 (local.get $one)) (i32.load offset=3 align=1 (local.get $other)))))

  ;; Answers of the phases other than health.
  (func $done (result i32)
    (i32.store (i32.const 3072) (i32.const 0))
    (i32.const 3072))

  (func $failed (param $code i32) (param $code-length i32) (param $message i32) (param $message-length i32) (result i32)
    (i32.store (i32.const 3072) (i32.const 1))
    (i32.store (i32.const 3076) (local.get $code))
    (i32.store (i32.const 3080) (local.get $code-length))
    (i32.store (i32.const 3084) (local.get $message))
    (i32.store (i32.const 3088) (local.get $message-length))
    (i32.const 3072))

  ;; Fails with the text in the making.
  (func $failed-with-text (param $code i32) (param $code-length i32) (result i32)
    (call $failed (local.get $code) (local.get $code-length) (i32.const 8192) (global.get $length)))

  ;; Fails with an error of swap's, which is a code and a message.
  (func $failed-by (param $error i32) (result i32)
    (call $failed
      (i32.load (local.get $error)) (i32.load offset=4 (local.get $error))
      (i32.load offset=8 (local.get $error)) (i32.load offset=12 (local.get $error))))

  ;; Answers of health.
  (func $fatal (param $at i32) (param $count i32) (result i32)
    (i32.store (i32.const 3072) (i32.const 2))
    (i32.store (i32.const 3080) (local.get $at))
    (i32.store (i32.const 3084) (local.get $count))
    (i32.const 3072))

  ;; With 0 for the time after which to ask again, swap chooses.
  (func $not-yet (param $at i32) (param $count i32) (param $retry-after-ms i64) (result i32)
    (i32.store (i32.const 3072) (i32.const 1))
    (i32.store (i32.const 3080) (local.get $at))
    (i32.store (i32.const 3084) (local.get $count))
    (i32.store (i32.const 3088) (i64.ne (local.get $retry-after-ms) (i64.const 0)))
    (i64.store (i32.const 3096) (local.get $retry-after-ms))
    (i32.store (i32.const 3104) (i32.const 0))
    (i32.const 3072))

  ;; Runs a command of one word. The answer at 2048 is an error at 2052, or the exit code there.
  (func $run (param $target i32) (param $target-length i32) (param $word i32) (param $word-length i32)
    (memory.fill (i32.const 4096) (i32.const 0) (i32.const 96))
    (i32.store (i32.const 4096) (local.get $target))
    (i32.store (i32.const 4100) (local.get $target-length))
    (i32.store (i32.const 4104) (i32.const 4184))
    (i32.store (i32.const 4108) (i32.const 1))
    (i32.store (i32.const 4184) (local.get $word))
    (i32.store (i32.const 4188) (local.get $word-length))
    (call $exec-run (i32.const 4096) (i32.const 2048)))

  ;; candidate.digest is at 64 of the context.
  (func (export "swap:hooks/pre-start@0.1.0#run") (param $context i32) (result i32)
    (local $code i32)
    (call $state-compare-and-set (i32.const 1024) (i32.const 8)
      (i32.const 0) (i32.const 0) (i32.const 0)
      (i32.const 1) (i32.load offset=64 (local.get $context)) (i32.load offset=68 (local.get $context))
      (i32.const 2048))
    (if (i32.load8_u (i32.const 2048)) (then (return (call $failed-by (i32.const 2052)))))
    (if (i32.eqz (i32.load8_u (i32.const 2052))) (then (return (call $done))))
    (call $run (i32.const 1040) (i32.const 7) (i32.const 1056) (i32.const 7))
    (if (i32.load8_u (i32.const 2048)) (then (return (call $failed-by (i32.const 2052)))))
    (local.set $code (i32.load (i32.const 2052)))
    (if (i32.eqz (local.get $code)) (then (return (call $done))))
    (call $state-delete (i32.const 1024) (i32.const 8) (i32.const 2048))
    (call $add (i32.const 1072) (i32.const 20))
    (call $add-number (i64.extend_i32_u (local.get $code)))
    (call $failed-with-text (i32.const 1056) (i32.const 7)))

  (func (export "swap:hooks/health@0.1.0#check") (param $context i32) (result i32)
    (local $status i32)
    (call $add (i32.const 1136) (i32.const 16))
    (call $config-get (i32.const 1104) (i32.const 4) (i32.const 2048))
    (if (i32.load8_u (i32.const 2048))
      (then (call $add (i32.load (i32.const 2052)) (i32.load (i32.const 2056))))
      (else (call $add (i32.const 1120) (i32.const 3))))
    (call $http-send (i32.const 1168) (i32.const 3) (i32.const 8192) (global.get $length)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0) (i32.const 10)
      (i32.const 2048))
    (if (i32.load8_u (i32.const 2048))
      (then
        ;; Both codes have seven letters.
        (if (i32.eq (i32.load (i32.const 2060)) (i32.const 7))
          (then
            (if (i32.or
                  (call $same (i32.load (i32.const 2056)) (i32.const 1200))
                  (call $same (i32.load (i32.const 2056)) (i32.const 1216)))
              (then (return (call $fatal (i32.load (i32.const 2064)) (i32.load (i32.const 2068))))))))
        (return (call $not-yet (i32.load (i32.const 2064)) (i32.load (i32.const 2068)) (i64.const 0)))))
    (local.set $status (i32.load16_u (i32.const 2056)))
    (if (i32.eq (local.get $status) (i32.const 200)) (then (return (call $done))))
    (call $add (i32.const 1184) (i32.const 10))
    (call $add-number (i64.extend_i32_u (local.get $status)))
    (if (i32.eq (local.get $status) (i32.const 410))
      (then (return (call $fatal (i32.const 8192) (global.get $length)))))
    (call $not-yet (i32.const 8192) (global.get $length) (i64.const 100)))

  (func (export "swap:hooks/pre-swap@0.1.0#run") (param $context i32) (result i32)
    (local $restarts i32)
    (call $inspect-state (i32.const 1232) (i32.const 9) (i32.const 2048))
    (if (i32.load8_u (i32.const 2048)) (then (return (call $failed-by (i32.const 2056)))))
    (local.set $restarts (i32.load (i32.const 2084)))
    (if (i32.eqz (local.get $restarts)) (then (return (call $done))))
    (call $add (i32.const 1264) (i32.const 17))
    (call $add-number (i64.extend_i32_u (local.get $restarts)))
    (call $add (i32.const 1296) (i32.const 6))
    (call $failed-with-text (i32.const 1248) (i32.const 8)))

  (func (export "swap:hooks/post-swap@0.1.0#run") (param $context i32) (result i32)
    (call $metrics-measure (i32.const 1312) (i32.const 12) (i32.const 2048))
    (if (i32.load8_u (i32.const 2048)) (then (return (call $failed-by (i32.const 2056)))))
    (if (i64.eqz (i64.load (i32.const 2064))) (then (return (call $done))))
    (call $add-number (i64.load (i32.const 2064)))
    (call $add (i32.const 1344) (i32.const 4))
    (call $add-number (i64.load (i32.const 2056)))
    (call $add (i32.const 1360) (i32.const 16))
    (call $failed-with-text (i32.const 1328) (i32.const 8)))

  ;; reason is at 128 of the context.
  (func (export "swap:hooks/rollback@0.1.0#run") (param $context i32) (result i32)
    (if (i32.load8_u offset=128 (local.get $context))
      (then (call $log-warn (i32.load offset=132 (local.get $context)) (i32.load offset=136 (local.get $context))))
      (else (call $log-warn (i32.const 1392) (i32.const 9))))
    (call $done))

  ;; service is at 8 of the context, candidate.name at 40.
  (func (export "swap:hooks/finish@0.1.0#run") (param $context i32) (result i32)
    (call $run (i32.const 1408) (i32.const 10) (i32.const 1424) (i32.const 8))
    (if (i32.load8_u (i32.const 2048)) (then (return (call $failed-by (i32.const 2052)))))
    (call $add (i32.load offset=8 (local.get $context)) (i32.load offset=12 (local.get $context)))
    (call $add (i32.const 1440) (i32.const 10))
    (call $add (i32.load offset=40 (local.get $context)) (i32.load offset=44 (local.get $context)))
    (call $log-info (i32.const 8192) (global.get $length))
    (call $done)))
