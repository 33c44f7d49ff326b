"""What is asked of the engine and of the proxy, by topic. Lines are requests as in redis-cli; `@b` is another client.

Keys of one request are in one slot here, but for commands that the proxy splits; what is said of keys in different
slots has tests of its own. Wrong arities, wrong types and unknown subcommands are made for every command by
`test_same_replies.py` and need no lines here.
"""

from __future__ import annotations

import shlex

_TOPICS = {
    "strings": r"""
        SET s abc
        GET s
        GET missing
        APPEND s def
        APPEND new \r\n$5\r\n\x00
        STRLEN s
        STRLEN missing
        GETRANGE s 1 -2
        GETRANGE s x 1
        SUBSTR s 0 2
        SETRANGE s 2 XY
        SETRANGE s -1 XY
        SETRANGE s 536870912 x
        SET s 1 NX
        SET s 1 XX GET
        SET s 2 EX 100 KEEPTTL
        SET s 2 PX 100000
        SET s 2 EX 0
        SET s 2 EX x
        SET s 3 KEEPTTL
        SET s 3 NX XX
        SET s 3 IFEQ 3
        SET s 4 IFEQ 3
        SET n 1 NX GET
        TTL s
        SETEX s 100 x
        SETEX s 0 x
        PSETEX s 100000 x
        PSETEX s x x
        SETNX s y
        SETNX s2 y
        GETSET s z
        GETSET s3 z
        GETDEL s3
        GETDEL s3
        GETEX s EX 100
        GETEX s PERSIST
        GETEX s EX
        GETEX s EX 1 PX 1
        SET "" empty-key
        GET ""
        SET value ""
        GET value
        LCS missing missing
        MSET m1 1 m2 2 m3 3 m1 4
        MSET m1 1 m2
        MGET m1 m2 m3 missing m1 {x} {y}
        MSETNX {t}1 a {t}2 b
        MSETNX {t}1 a {t}3 b
        MSETNX {t}1 a {t}3
        MSETEX 2 {t}4 1 {t}5 2 EX 100
        MSETEX 1 {t}4 1 NX
        MSETEX 0 {t}4
        DELIFEQ s q
        DELIFEQ s z
    """,
    "numbers": r"""
        INCR n
        DECR n
        INCRBY n 41
        DECRBY n 2
        INCRBYFLOAT n 1.5
        INCRBYFLOAT n x
        INCRBY n 1
        SET n x
        INCR n
        DECR n
        INCRBY n 1
        INCRBY n x
        SET n 9223372036854775807
        INCR n
        DECRBY n -9223372036854775808
        INCRBYFLOAT n inf
    """,
    "subsequences": r"""
        SET {t}a ohmytext
        SET {t}b mynewtext
        LCS {t}a {t}b
        LCS {t}a {t}b LEN
        LCS {t}a {t}b IDX MINMATCHLEN 4 WITHMATCHLEN
        LCS {t}a {t}b IDX LEN
        LCS {t}a {t}b NOSUCH
    """,
    "bits": r"""
        SETBIT b 7 1
        SETBIT b 7 0
        SETBIT b x 1
        SETBIT b 7 2
        SETBIT b 4294967296 1
        GETBIT b 7
        GETBIT missing 100
        SET b \xff\xf0\x00
        BITCOUNT b
        BITCOUNT b 0 0
        BITCOUNT b 0
        BITCOUNT b 5 30 BIT
        BITCOUNT b 5 30 NOSUCH
        BITPOS b 0
        BITPOS b 1 2
        BITPOS b 2
        BITPOS b 1 7 15 BIT
        BITFIELD b INCRBY i5 100 1 GET u4 0
        BITFIELD b SET u8 #0 255 OVERFLOW FAIL INCRBY u8 0 1
        BITFIELD b GET u65 0
        BITFIELD b NOSUCH
        BITFIELD b GET
        BITFIELD_RO b GET u8 0
        BITFIELD_RO b SET u8 0 1
        SET {t}x \x0f
        SET {t}y \xf1\x01
        BITOP AND {t}z {t}x {t}y
        GET {t}z
        BITOP OR {t}z {t}x {t}y {t}missing
        BITOP NOT {t}z {t}x {t}y
        BITOP NOSUCH {t}z {t}x
    """,
    "keys": r"""
        SET k v
        EXISTS k k missing other {x}
        TYPE k
        TYPE missing
        TOUCH k missing x y
        EXPIRE k 100
        EXPIRE k 10 GT
        EXPIRE k x
        EXPIRE k 100 NX XX
        EXPIRE k 100 NOSUCH
        EXPIRE missing 1
        TTL k
        TTL missing
        PEXPIRE k 100000
        PEXPIRE k 99999999999999999999
        PTTL k
        EXPIREAT k 4102444800
        EXPIRETIME k
        PEXPIREAT k 4102444800000
        PEXPIRETIME k
        PEXPIRETIME missing
        EXPIRETIME missing
        PERSIST k
        PERSIST k
        TTL k
        OBJECT ENCODING k
        OBJECT ENCODING missing
        OBJECT REFCOUNT k
        OBJECT IDLETIME k
        OBJECT FREQ k
        OBJECT HELP
        OBJECT NOSUCH k
        MEMORY USAGE k
        MEMORY USAGE missing
        MEMORY USAGE k SAMPLES 0
        MEMORY USAGE k NOSUCH
        SET {t}a 1 EX 100
        RENAME {t}a {t}b
        RENAME {t}a {t}b
        RENAMENX {t}b {t}c
        RENAMENX {t}c {t}c
        COPY {t}c {t}d
        COPY {t}c {t}d
        COPY {t}c {t}d REPLACE
        COPY {t}c {t}c
        COPY {t}c {t}d NOSUCH
        COPY {t}c {t}d DB x
        DEL k missing a b c
        UNLINK {t}c {t}d missing
        DEL missing
        SET k v
        EXPIREAT k 1
        GET k
        EXPIRE k -1
        DBSIZE
    """,
    "dump and restore": r"""
        SET k hello
        DUMP k
        DUMP missing
        RESTORE r 0 \x00\x05hello\x0a\x00\x23\x47\x47\xf8\xc5\x38\xbe\x91
        RESTORE r 0 x
        RESTORE k 0 x
        RESTORE r -1 x
        RESTORE r x x
        RESTORE r 0 x NOSUCH
        RPUSH l 1 2 3
        DUMP l
        SADD ints 1 2 3
        DUMP ints
    """,
    "sorting": r"""
        RPUSH {t}l 3 1 2 10
        SORT {t}l
        SORT {t}l DESC LIMIT 1 2
        SORT {t}l ALPHA
        SORT {t}l STORE {t}sorted
        LRANGE {t}sorted 0 -1
        SORT {t}l LIMIT 0 x
        SORT {t}l NOSUCH
        SORT {t}l STORE
        SORT missing
        SORT_RO {t}l DESC
        SORT_RO {t}l STORE {t}sorted
        RPUSH words b a c
        SORT words
        SORT words ALPHA
    """,
    "lists": r"""
        LPUSH l a b c
        RPUSH l 1 2 3
        LPUSHX l x
        RPUSHX l y
        LPUSHX missing x
        RPUSHX missing x
        LLEN l
        LLEN missing
        LRANGE l 0 -1
        LRANGE l 2 1
        LRANGE missing 0 -1
        LRANGE l x 1
        LINDEX l 0
        LINDEX l 100
        LINDEX l x
        LSET l 0 new
        LSET l 100 new
        LSET missing 0 new
        LINSERT l BEFORE a z
        LINSERT l NOWHERE a z
        LINSERT l AFTER nosuch z
        LINSERT missing AFTER a z
        LPOS l a
        LPOS l a COUNT 0
        LPOS l a RANK 0
        LPOS l nosuch
        LPOS l a NOSUCH 1
        LREM l 0 a
        LREM l x a
        LTRIM l 1 -2
        LTRIM l x 1
        LPOP l
        LPOP l 2
        LPOP l 0
        LPOP l -1
        LPOP missing
        LPOP missing 2
        RPOP l
        RPOP l 100
        RPOP l
        RPUSH {t}a 1 2 3 4
        RPOPLPUSH {t}a {t}b
        RPOPLPUSH {t}missing {t}b
        LMOVE {t}a {t}b LEFT RIGHT
        LMOVE {t}a {t}b LEFT NOWHERE
        LMOVE {t}a {t}a LEFT RIGHT
        LMPOP 2 {t}missing {t}a LEFT COUNT 2
        LMPOP 1 {t}missing RIGHT
        LMPOP 0 {t}a LEFT
        LMPOP x {t}a LEFT
        LMPOP 1 {t}a NOWHERE
        LMPOP 5 {t}a LEFT
        LRANGE {t}b 0 -1
    """,
    "blocking": r"""
        RPUSH {t}l 1 2 3 4 5 6 7
        BLPOP {t}l 1
        BLPOP {t}missing {t}l 0
        BRPOP {t}l 1.5
        BRPOP {t}l x
        BRPOP {t}l -1
        BRPOPLPUSH {t}l {t}m 1
        BLMOVE {t}l {t}m LEFT RIGHT 1
        BLMOVE {t}l {t}m NOWHERE RIGHT 1
        BLMPOP 1 2 {t}missing {t}l LEFT COUNT 2
        BLMPOP 0.01 1 {t}missing LEFT
        BLMPOP x 1 {t}l LEFT
        BLMPOP 1 0 {t}l LEFT
        BLPOP {t}missing 0.01
        BRPOP {t}missing {t}missing2 0.01
        BRPOPLPUSH {t}missing {t}m 0.01
        BLMOVE {t}missing {t}m LEFT LEFT 0.01
        ZADD {t}z 1 a 2 b 3 c 4 d
        BZPOPMIN {t}z 1
        BZPOPMAX {t}missing {t}z 1
        BZPOPMIN {t}missing 0.01
        BZPOPMAX {t}missing 0.01
        BZMPOP 1 1 {t}z MIN COUNT 2
        BZMPOP 0.01 1 {t}missing MAX
        BZMPOP 1 1 {t}z NOSUCH
        BZPOPMIN {t}l 0.01
        BLPOP {t}z 0.01
        XREAD BLOCK 1 STREAMS {t}missing $
        XADD {t}x 1-1 a b
        XREAD BLOCK 1000 STREAMS {t}x 0
        XGROUP CREATE {t}x g 0
        XREADGROUP GROUP g me BLOCK 1000 STREAMS {t}x >
        XREADGROUP GROUP g me BLOCK 1 STREAMS {t}x >
        XREADGROUP GROUP nosuch me BLOCK 1 STREAMS {t}x >
        LRANGE {t}m 0 -1
    """,
    "sets": r"""
        SADD s a b c a
        SADD s d
        SCARD s
        SCARD missing
        SISMEMBER s a
        SISMEMBER missing a
        SMISMEMBER s a nosuch
        SMEMBERS s
        SMEMBERS missing
        SREM s d nosuch
        SRANDMEMBER one
        SADD one 1
        SRANDMEMBER one
        SRANDMEMBER one -3
        SRANDMEMBER one 5
        SRANDMEMBER one x
        SRANDMEMBER missing 2
        SPOP one
        SPOP one
        SPOP one 2
        SPOP s -1
        SPOP missing x
        SSCAN s 0 COUNT 100
        SSCAN s 0 MATCH nosuch
        SSCAN s x
        SSCAN s 0 NOSUCH
        SSCAN missing 0
        SADD {t}a 1 2 3
        SADD {t}b 2 3 4
        SDIFF {t}a {t}b
        SDIFFSTORE {t}c {t}a {t}b
        SINTER {t}a {t}b
        SINTER {t}a {t}missing
        SINTERCARD 2 {t}a {t}b
        SINTERCARD 2 {t}a {t}b LIMIT 1
        SINTERCARD 0 {t}a
        SINTERCARD 3 {t}a {t}b
        SINTERCARD 1 {t}a NOSUCH
        SINTERSTORE {t}c {t}a {t}b
        SUNION {t}a {t}b
        SUNIONSTORE {t}c {t}a {t}b
        SUNIONSTORE {t}c {t}missing
        SMOVE {t}a {t}b 1
        SMOVE {t}a {t}b nosuch
        SMEMBERS {t}b
    """,
    "hashes": r"""
        HSET h f v g 1
        HSET h f
        HSET h f w e
        HMSET h i 1 j 2
        HMSET h i
        HSETNX h f x
        HSETNX h new x
        HGET h f
        HGET h nosuch
        HGET missing f
        HMGET h f nosuch g
        HGETALL h
        HGETALL missing
        HKEYS h
        HVALS h
        HLEN h
        HSTRLEN h f
        HEXISTS h f
        HINCRBY h g 5
        HINCRBY h f 5
        HINCRBY h g x
        HINCRBYFLOAT h g 0.5
        HINCRBYFLOAT h g x
        HDEL h new nosuch
        HSET one f v
        HRANDFIELD one
        HRANDFIELD one -2
        HRANDFIELD one 2 WITHVALUES
        HRANDFIELD one 1 NOSUCH
        HRANDFIELD missing
        HRANDFIELD missing 3
        HSCAN h 0
        HSCAN h 0 NOVALUES
        HSCAN h 0 COUNT x
        HSCAN h x
        HDEL one f
        EXISTS one
    """,
    "fields that expire": r"""
        HSET h f v g w i x
        HEXPIRE h 100 FIELDS 2 f nosuch
        HEXPIRE h 100 NX FIELDS 1 f
        HEXPIRE h x FIELDS 1 f
        HEXPIRE h 100 FIELDS 0
        HEXPIRE h 100 NOSUCH 1 f
        HPEXPIRE h 100000 FIELDS 1 f
        HEXPIREAT h 4102444800 FIELDS 1 g
        HPEXPIREAT h 4102444800000 FIELDS 1 g
        HTTL h FIELDS 3 f g nosuch
        HPTTL h FIELDS 1 f
        HEXPIRETIME h FIELDS 2 g i
        HPEXPIRETIME h FIELDS 1 g
        HTTL missing FIELDS 1 f
        HPERSIST h FIELDS 2 f i
        HGETEX h EX 100 FIELDS 1 f
        HGETEX h PERSIST FIELDS 2 f nosuch
        HGETEX h NOSUCH
        HSETEX h EX 100 FIELDS 1 n 1
        HSETEX h FNX FIELDS 1 n 1
        HSETEX h EX x FIELDS 1 n 1
        HGETDEL h FIELDS 2 n nosuch
        HGETDEL h FIELDS 0
        HGETALL h
    """,
    "sorted sets": r"""
        ZADD z 1 a 2 b 3 c
        ZADD z NX 5 a
        ZADD z XX CH 5 a
        ZADD z GT LT 5 a
        ZADD z INCR 1 a
        ZADD z NX INCR 1 a
        ZADD z x a
        ZADD z 1
        ZADD z +inf i
        ZINCRBY z -inf i
        ZINCRBY z 1.5 b
        ZINCRBY z x b
        ZCARD z
        ZCARD missing
        ZCOUNT z (1 +inf
        ZCOUNT z x 1
        ZSCORE z b
        ZSCORE z nosuch
        ZSCORE missing a
        ZMSCORE z a nosuch
        ZRANK z b
        ZRANK z b WITHSCORE
        ZRANK z nosuch
        ZRANK z b NOSUCH
        ZREVRANK z b
        ZREVRANK missing b
        ZRANGE z 0 -1
        ZRANGE z 0 -1 WITHSCORES
        ZRANGE z (1 3 BYSCORE LIMIT 0 1
        ZRANGE z - + BYLEX REV
        ZRANGE z 0 1 LIMIT 0 1
        ZRANGE z 0 1 NOSUCH
        ZREVRANGE z 0 1 WITHSCORES
        ZRANGEBYSCORE z -inf +inf WITHSCORES LIMIT 1 1
        ZREVRANGEBYSCORE z +inf -inf
        ZRANGEBYSCORE z x y
        ZADD lex 0 a 0 b 0 c
        ZRANGEBYLEX lex [a (c
        ZREVRANGEBYLEX lex + -
        ZRANGEBYLEX lex a c
        ZLEXCOUNT lex - +
        ZLEXCOUNT lex x y
        ZREMRANGEBYLEX lex [a [a
        ZREMRANGEBYSCORE lex 1 2
        ZREMRANGEBYRANK lex 0 0
        ZREM lex c nosuch
        EXISTS lex
        ZADD one 1 a
        ZRANDMEMBER one
        ZRANDMEMBER one -2 WITHSCORES
        ZRANDMEMBER one 5
        ZRANDMEMBER one x
        ZRANDMEMBER missing
        ZSCAN z 0 COUNT 100
        ZSCAN z x
        ZPOPMIN z
        ZPOPMAX z 2
        ZPOPMAX z -1
        ZPOPMIN missing
        ZPOPMIN missing 5
        ZADD {t}a 1 x 2 y
        ZADD {t}b 3 y 4 z
        ZUNION 2 {t}a {t}b WITHSCORES
        ZUNION 2 {t}a {t}b WEIGHTS 2 3 AGGREGATE MAX
        ZUNION 0 {t}a
        ZUNION 3 {t}a {t}b
        ZINTER 2 {t}a {t}b WITHSCORES
        ZINTERCARD 2 {t}a {t}b LIMIT 1
        ZINTERCARD x {t}a
        ZDIFF 2 {t}a {t}b
        ZUNIONSTORE {t}c 2 {t}a {t}b
        ZINTERSTORE {t}c 2 {t}a {t}b WEIGHTS 1 x
        ZINTERSTORE {t}c 2 {t}a {t}b AGGREGATE MIN
        ZDIFFSTORE {t}c 2 {t}a {t}b
        ZDIFFSTORE {t}c x {t}a {t}b
        ZRANGESTORE {t}d {t}a 0 -1
        ZRANGESTORE {t}d {t}a x -1
        ZMPOP 2 {t}missing {t}a MIN
        ZMPOP 1 {t}missing MAX COUNT 2
        ZMPOP 1 {t}a NOSUCH
        ZRANGE {t}d 0 -1 WITHSCORES
    """,
    "geography": r"""
        GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
        GEOADD g XX CH 13.4 38.1 Palermo
        GEOADD g 200 100 nowhere
        GEOADD g x y z
        GEODIST g Palermo Catania km
        GEODIST g Palermo nosuch
        GEODIST g Palermo Catania nosuch
        GEOHASH g Palermo nosuch
        GEOPOS g Palermo nosuch
        GEOPOS missing a
        GEORADIUS g 15 37 200 km WITHDIST ASC
        GEORADIUS_RO g 15 37 100 km
        GEORADIUSBYMEMBER g Palermo 200 km DESC COUNT 1
        GEORADIUSBYMEMBER g nosuch 200 km
        GEORADIUSBYMEMBER_RO g Palermo 200 km WITHCOORD
        GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km ASC WITHDIST WITHHASH
        GEOSEARCH g FROMMEMBER Palermo BYBOX 400 400 km ASC COUNT 1 ANY
        GEOSEARCH g FROMMEMBER Palermo
        GEOSEARCH g BYPOLYGON 3 13 37 16 37 15 39
        GEOADD {t}g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
        GEORADIUS {t}g 15 37 200 km STORE {t}s
        GEORADIUS {t}g 15 37 200 km STOREDIST {t}s
        GEORADIUS {t}g 15 37 200 km STORE
        GEORADIUSBYMEMBER {t}g Palermo 200 km STORE {t}s
        GEOSEARCHSTORE {t}s {t}g FROMMEMBER Palermo BYRADIUS 200 km
        GEOSEARCHSTORE {t}s {t}g FROMMEMBER Palermo BYRADIUS 200 km NOSUCH
        ZRANGE {t}s 0 -1
    """,
    "hyperloglogs": r"""
        PFADD p a b c
        PFADD p a
        PFADD p
        PFADD empty
        PFCOUNT p
        PFCOUNT missing
        PFADD {t}p a b
        PFADD {t}q b c
        PFCOUNT {t}p {t}q {t}missing
        PFMERGE {t}r {t}p {t}q
        PFMERGE {t}r
        PFCOUNT {t}r
        SET {t}s x
        PFCOUNT {t}s
        PFMERGE {t}s {t}p
        PFDEBUG ENCODING p
        PFDEBUG NOSUCH p
        PFSELFTEST
    """,
    "streams": r"""
        XADD x 1-1 a b c d
        XADD x 1-1 a b
        XADD x 2-* a b
        XADD x 3-1 a
        XADD x NOMKSTREAM 3-1 a b
        XADD missing NOMKSTREAM 3-1 a b
        XADD x MAXLEN = 3 4-1 a b
        XADD x MAXLEN x 4-1 a b
        XADD x x a b
        XLEN x
        XLEN missing
        XRANGE x - +
        XRANGE x - + COUNT 1
        XRANGE x (1-1 +
        XRANGE x x y
        XREVRANGE x + - COUNT 2
        XREVRANGE missing + -
        XREAD COUNT 1 STREAMS x 0
        XREAD STREAMS x 9-9
        XREAD STREAMS x
        XREAD COUNT x STREAMS x 0
        XREAD STREAMS {t}missing {t}missing2 0 0
        XREAD NOSUCH
        XGROUP CREATE x g 0
        XGROUP CREATE x g 0
        XGROUP CREATE missing g 0
        XGROUP CREATE {t}new g $ MKSTREAM
        XGROUP CREATE x h 0 NOSUCH
        XGROUP CREATECONSUMER x g you
        XGROUP CREATECONSUMER x nosuch you
        XGROUP SETID x g 1-1
        XGROUP SETID x nosuch 0
        XGROUP HELP
        XGROUP NOSUCH x g
        XREADGROUP GROUP g me COUNT 2 STREAMS x >
        XREADGROUP GROUP g me STREAMS x 0
        XREADGROUP GROUP nosuch me STREAMS x >
        XREADGROUP GROUP g me NOACK STREAMS x x
        XREADGROUP GROUP g me STREAMS x
        XREADGROUP NOSUCH g me STREAMS x >
        XPENDING x g
        XPENDING x g - + 10
        XPENDING x g IDLE 0 - + 10 me
        XPENDING x nosuch
        XPENDING x g x
        XCLAIM x g you 0 2-0
        XCLAIM x g you 0 2-0 JUSTID
        XCLAIM x g you x 2-0
        XCLAIM x nosuch you 0 2-0
        XAUTOCLAIM x g me 0 0 COUNT 10 JUSTID
        XAUTOCLAIM x g me 0 0
        XAUTOCLAIM x nosuch me 0 0
        XACK x g 2-0 9-9
        XACK x nosuch 2-0
        XACK x g x
        XINFO STREAM x
        XINFO STREAM x FULL
        XINFO STREAM missing
        XINFO GROUPS x
        XINFO CONSUMERS x g
        XINFO CONSUMERS x nosuch
        XINFO HELP
        XINFO NOSUCH x
        XDEL x 2-0 9-9
        XDEL x x
        XTRIM x MAXLEN 1
        XTRIM x MINID 1-1
        XTRIM x NOSUCH 1
        XTRIM missing MAXLEN 0
        XSETID x 9-9
        XSETID x 0-1
        XSETID missing 1-1
        XSETID x 10-1 ENTRIESADDED 5 MAXDELETEDID 1-1
        XGROUP DELCONSUMER x g me
        XGROUP DELCONSUMER x nosuch me
        XGROUP DESTROY x g
        XGROUP DESTROY x g
    """,
    "scripts": r"""
        EVAL "return {KEYS[1],ARGV[1],#ARGV}" 1 k a b
        EVAL "return redis.call('SET',KEYS[1],ARGV[1])" 1 k v
        EVAL "return redis.call('GET',KEYS[1])" 1 k
        EVAL "return redis.call('INCR',KEYS[1])" 1 k
        EVAL "return redis.pcall('INCR',KEYS[1])" 1 k
        EVAL "return redis.error_reply('MINE is mine')" 1 k
        EVAL "return redis.status_reply('FINE')" 1 k
        EVAL "return {1,{2,{3,'x'}},false,true}" 1 k
        EVAL "return {double=1.5}" 1 k
        EVAL "redis.setresp(3) return {map={a=1}}" 1 k
        EVAL "return nosuch" 1 k
        EVAL "return (" 1 k
        EVAL "return 1" x k
        EVAL "return 1" -1 k
        EVAL "return 1" 2 k
        EVAL "return 1" 2 {t}a {t}b x
        EVAL_RO "return redis.call('GET',KEYS[1])" 1 k
        EVAL_RO "return redis.call('SET',KEYS[1],'x')" 1 k
        EVAL_RO "return 1" x k
        SCRIPT LOAD "return KEYS[1]"
        SCRIPT LOAD "return ("
        SCRIPT EXISTS 4a2267357833227dd98abdedb8cf24b15a986445 nosuch
        SCRIPT EXISTS
        EVALSHA 4a2267357833227dd98abdedb8cf24b15a986445 1 k
        EVALSHA 4A2267357833227dd98abdedb8cf24b15a986445 1 k
        EVALSHA nosuch 1 k
        EVALSHA_RO 4a2267357833227dd98abdedb8cf24b15a986445 1 k
        EVALSHA_RO nosuch 1 k
        SCRIPT SHOW 4a2267357833227dd98abdedb8cf24b15a986445
        SCRIPT SHOW nosuch
        SCRIPT KILL
        SCRIPT DEBUG NO
        SCRIPT DEBUG nosuch
        SCRIPT HELP
        SCRIPT NOSUCH
        SCRIPT FLUSH
        SCRIPT FLUSH ASYNC
        SCRIPT FLUSH SYNC
        SCRIPT FLUSH NOSUCH
        EVALSHA 4a2267357833227dd98abdedb8cf24b15a986445 1 k
    """,
    "functions": r"""
        FUNCTION LOAD "#!lua name=lib\nredis.register_function('f', function(keys, args) return {keys[1], args[1]} end)\nredis.register_function{function_name='r', callback=function(keys) return redis.call('GET', keys[1]) end, flags={'no-writes'}}"
        FUNCTION LOAD "#!lua name=lib\nredis.register_function('f', function() return 1 end)"
        FUNCTION LOAD REPLACE "#!lua name=lib\nredis.register_function('f', function(keys, args) return {keys[1], args[1]} end)\nredis.register_function{function_name='r', callback=function(keys) return redis.call('GET', keys[1]) end, flags={'no-writes'}}"
        FUNCTION LOAD nonsense
        FCALL f 1 k a
        FCALL nosuch 1 k
        FCALL f x k
        FCALL f 3 k
        FCALL_RO r 1 k
        FCALL_RO f 1 k
        FUNCTION LIST LIBRARYNAME nosuch
        FUNCTION LIST NOSUCH
        FUNCTION DUMP
        FUNCTION RESTORE x
        FUNCTION RESTORE x NOSUCH
        FUNCTION STATS
        FUNCTION KILL
        FUNCTION HELP
        FUNCTION NOSUCH
        FUNCTION DELETE nosuch
        FUNCTION DELETE lib
        FUNCTION LIST
        FUNCTION FLUSH
        FUNCTION FLUSH ASYNC
        FUNCTION FLUSH NOSUCH
        FCALL f 1 k
    """,
    "transactions": r"""
        MULTI
        SET {t}a 1
        INCR {t}a
        GET {t}a
        LPUSH {t}a x
        MGET {t}a {t}b
        PING
        PING hello
        ECHO hello
        TYPE {t}a
        EXEC
        EXEC
        DISCARD
        MULTI
        EXEC
        MULTI
        MULTI
        WATCH a
        GET a
        EXEC
        MULTI
        SET a 5
        DISCARD
        GET a
        MULTI
        NOSUCH
        SET a 1
        EXEC
        GET a
        MULTI
        GET
        EXEC
        MULTI
        UNWATCH
        EXEC
        WATCH {t}a {t}b
        MULTI
        GET {t}a
        EXEC
        WATCH {t}a
        @b SET {t}a changed
        MULTI
        GET {t}a
        EXEC
        WATCH {t}a
        @b SET {t}a again
        UNWATCH
        MULTI
        GET {t}a
        EXEC
        WATCH {t}a
        SET {t}a mine
        MULTI
        GET {t}a
        EXEC
        WATCH {t}a
        MULTI
        SET {t}a other
        DISCARD
        @b SET {t}a third
        MULTI
        GET {t}a
        EXEC
        UNWATCH
        MULTI
        BLPOP {t}missing 0
        BLPOP {t}missing 10
        XADD {t}s 1-1 a b
        XREAD BLOCK 0 STREAMS {t}s 0
        EXEC
        MULTI
        SUBSTR {t}a 0 x
        EXEC
    """,
    "channels": r"""
        SUBSCRIBE one two
        SUBSCRIBE one
        PSUBSCRIBE o*
        @b PUBLISH nobody x
        @b PUBSUB CHANNELS
        @b PUBSUB CHANNELS t*
        @b PUBSUB NUMSUB one two nobody
        @b PUBSUB NUMSUB
        @b PUBSUB NUMPAT
        @b PUBSUB HELP
        @b PUBSUB NOSUCH
        PING
        PING hello
        UNSUBSCRIBE one
        UNSUBSCRIBE nosuch
        PUNSUBSCRIBE o*
        PUNSUBSCRIBE
        UNSUBSCRIBE
        PING
        GET k
        UNSUBSCRIBE
        UNSUBSCRIBE a
        PUNSUBSCRIBE
        SUNSUBSCRIBE
        @b PUBSUB NUMPAT
        @b PUBSUB CHANNELS
        @c SSUBSCRIBE {t}one {t}two
        @b PUBSUB SHARDNUMSUB {t}one
        @b PUBSUB SHARDNUMSUB
        @b PUBSUB SHARDCHANNELS
        @b PUBSUB SHARDCHANNELS {t}o*
        @b SPUBLISH {t}nobody x
        @c SUNSUBSCRIBE {t}one
        @c SUNSUBSCRIBE {t}two
        @c GET k
    """,
    "a listening client": r"""
        SUBSCRIBE one
        GET k
        SET k v
        HELLO
        CLIENT ID
        NOSUCH
        SUBSCRIBE
        UNSUBSCRIBE one
        GET k
    """,
    "the connection": r"""
        PING
        PING hello
        ECHO hello
        ECHO ""
        CLIENT ID
        CLIENT GETNAME
        CLIENT SETNAME me
        CLIENT GETNAME
        CLIENT SETNAME "not a name"
        CLIENT SETNAME ""
        CLIENT GETNAME
        CLIENT SETINFO LIB-NAME mine
        CLIENT SETINFO LIB-VER 1.0
        CLIENT SETINFO LIB-NAME "a b"
        CLIENT SETINFO NOSUCH x
        CLIENT SETINFO Lib-Ver "a b"
        CLIENT INFO
        CLIENT LIST
        CLIENT LIST TYPE normal
        CLIENT LIST TYPE nosuch
        CLIENT LIST NOSUCH
        CLIENT KILL 127.0.0.1:1
        CLIENT KILL ADDR 127.0.0.1:1
        CLIENT KILL ID 0
        CLIENT KILL TYPE nosuch
        CLIENT KILL USER nosuch
        CLIENT KILL SKIPME maybe
        CLIENT KILL NOSUCH x
        CLIENT KILL ADDR
        CLIENT NO-EVICT ON
        CLIENT NO-EVICT OFF
        CLIENT NO-EVICT maybe
        CLIENT NO-TOUCH ON
        CLIENT NO-TOUCH OFF
        CLIENT NO-TOUCH maybe
        CLIENT NOSUCH
        CLIENT HELP
        SELECT 0
        SELECT x
        SELECT -1
        SELECT 100000
        SELECT 99999999999999999999
        SELECT 2147483648
        SELECT 01
        SELECT +0
        AUTH one two three
        AUTH nosuch user
        HELLO
        HELLO 4
        HELLO x
        HELLO 2 NOSUCH
        HELLO 2 AUTH nosuch user
        HELLO 2 SETNAME "not a name"
        HELLO 3 SETNAME you
        CLIENT GETNAME
        CLIENT GETNAME
        HGETALL missing
        HELLO 2
        HELLO 2 AUTH one
        HELLO 2 SETNAME
        HGETALL missing
        QUIT
    """,
    "resetting": r"""
        CLIENT SETNAME me
        MULTI
        SET k v
        RESET
        @b GET k
    """,
    "the server": r"""
        SET k v
        DBSIZE
        KEYS *
        KEYS nosuch
        RANDOMKEY
        INFO
        INFO server
        INFO nosuch
        INFO server clients
        INFO everything
        TIME
        ROLE
        LASTSAVE
        COMMAND
        COMMAND COUNT
        COMMAND INFO get nosuch
        COMMAND LIST
        COMMAND LIST FILTERBY PATTERN x*
        COMMAND LIST FILTERBY NOSUCH x
        COMMAND DOCS get
        COMMAND GETKEYS MSET a 1 b 2
        COMMAND GETKEYS GET
        COMMAND GETKEYS NOSUCH a
        COMMAND GETKEYSANDFLAGS SET a b
        COMMAND HELP
        COMMAND NOSUCH
        CONFIG GET databases
        CONFIG GET nosuch
        CONFIG GET save timeout
        CONFIG NOSUCH
        CONFIG HELP
        SLOWLOG LEN
        SLOWLOG GET
        SLOWLOG GET 5
        SLOWLOG GET x
        SLOWLOG GET -2
        SLOWLOG GET -1
        SLOWLOG GET 1 2
        SLOWLOG RESET
        SLOWLOG HELP
        SLOWLOG NOSUCH
        COMMANDLOG LEN slow
        COMMANDLOG GET 5 slow
        COMMANDLOG RESET slow
        COMMANDLOG HELP
        LATENCY HISTORY nosuch
        LATENCY LATEST
        LATENCY RESET
        LATENCY RESET nosuch
        LATENCY HELP
        LATENCY NOSUCH
        LATENCY GRAPH nosuch
        LATENCY HISTOGRAM nosuch
        LATENCY DOCTOR
        MEMORY HELP
        MEMORY STATS
        MEMORY DOCTOR
        MEMORY PURGE
        MEMORY MALLOC-STATS
        MEMORY NOSUCH
        LOLWUT
        CLUSTER INFO
        CLUSTER NODES
        CLUSTER SLOTS
        CLUSTER SHARDS
        CLUSTER MYID
        CLUSTER HELP
        CLUSTER NOSUCH
        CLUSTERSCAN 0
        WAIT 0 10
        WAIT x 10
        WAIT 0 -1
        WAIT 0 x
        WAITAOF 0 0 10
        WAITAOF 0 x 10
        WAITAOF 0 0 -1
        WAITAOF 1 0 10
        WAITAOF 2 0 10
        FLUSHDB
        FLUSHDB ASYNC
        FLUSHDB NOSUCH
        DBSIZE
        RANDOMKEY
        SET k v
        FLUSHALL
        FLUSHALL ASYNC
        FLUSHALL NOSUCH
        FLUSHALL ASYNC x
        SCAN 0
        SCAN 0 COUNT 100 MATCH x* TYPE string
        SCAN x
        SCAN 0 COUNT 0
        SCAN 0 COUNT x
        SCAN 0 NOSUCH
        SCAN 0 MATCH
    """,
    "unknown commands": r"""
        NOSUCH
        NOSUCH a b
        NOSUCH a\r\nb "" "long long long long long long long long long long long long long long long long long long long long long long long long long long long"
        "" a
        "a b"
        GET\r\n a
    """,
}

DATABASES = r"""
    SELECT 5
    SET k five
    SELECT 0
    GET k
    SET k zero
    MOVE k 5
    MOVE k 0
    MOVE k x
    MOVE k 1000
    MOVE missing 1
    MOVE k 6
    EXISTS k
    SELECT 6
    GET k
    KEYS *
    DBSIZE
    COPY k k DB 7
    COPY k k DB 7
    FLUSHDB
    MULTI
    SET a 1
    GET a
    EXEC
    WATCH a
    @b SET a 2
    MULTI
    GET a
    EXEC
    WATCH a
    @b SELECT 6
    @b SET a 2
    MULTI
    GET a
    EXEC
    EVAL "return redis.call('GET',KEYS[1])" 1 a
    BLPOP missing 0.01
    SCAN 0
    SELECT 7
    GET k
    SELECT 256
    FLUSHALL
    DBSIZE
"""


def requests_of(text: str) -> list[tuple[str, tuple[bytes, ...]]]:
    """The requests of some lines, each with the client that sends it."""
    found = []
    for line in filter(None, map(str.strip, text.splitlines())):
        client, _, rest = line.partition(" ") if line.startswith("@") else ("", "", line)
        words = tuple(word.encode().decode("unicode_escape").encode("latin-1") for word in _split(rest))
        found.append((client, words))
    return found


def _split(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True)
    lexer.whitespace_split, lexer.escape, lexer.commenters, lexer.quotes = True, "", "", '"'
    return list(lexer)


SCENARIOS: dict[str, list[tuple[str, tuple[bytes, ...]]]] = {
    topic: requests_of(text) for topic, text in _TOPICS.items()
}
"""Requests by topic, each with the client that sends it."""
