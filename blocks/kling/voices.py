"""The voices that Kling's speech is reported to have.

Kling publishes its list outside its API's documentation. These are transcriptions of it that agree with each
other: https://github.com/Comfy-Org/ComfyUI/blob/master/comfy_api_nodes/nodes_kling.py and a Rust list whose
author warns that some published ids do not work. Nothing here was tried with a key.
"""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from typing import get_args

from blocks.errors import Fault
from blocks.kling.speech import Language

_BOTH = (
    "ai_chenjiahao_712 ai_huangyaoshi_712 ai_kaiya ai_laoguowang_712 ai_shatang cartoon-boy-07 "
    "cartoon-girl-01 chat1_female_new-3 chengshu_jiejie genshin_kirara genshin_klee2 genshin_vindi2 "
    "heainainai_speech02 laopopo_speech02 you_pingjing zhinen_xuesheng"
)
_ENGLISH = (
    "AOT PeppaPig_platform ai_huangzhong_712 calm_story1 chat_0407_5-1 commercial_lady_en_f-v1 "
    "girlfriend_4_speech02 oversea_male1 reader_en_m-v1 uk_boy1 uk_man2"
)
_CHINESE = (
    "ai_taiwan_man2_speech02 chaoshandashu_speech02 chongqingxiaohuo_speech02 chuanmeizi_speech02 "
    "daopianyansang-v1 diyinnansang_DB_CN_M_04-v2 dongbeilaotie_speech02 girlfriend_1_speech02 "
    "girlfriend_2_speech02 guanxiaofang-v2 mengwa-v1 tianjinjiejie_speech02 tianmeixuemei-v1 tiexin_nanyou "
    "tiyuxi_xuedi uk_oldman3 xianzhanggui_speech02 yizhipiannan-v1 zhuxi_speech02"
)

VOICES: dict[str, frozenset[str]] = {
    "en": frozenset(f"{_BOTH} {_ENGLISH}".split()),
    "zh": frozenset(f"{_BOTH} {_CHINESE}".split()),
}


def check_voice(voice: str, language: str, extra: Collection[str] = ()) -> tuple[Fault, ...]:
    """Check that a voice is reported to speak a language.

    Args:
        voice: The voice's id.
        language: `en` or `zh`.
        extra: Voices beyond the reported ones, as `en:voice` or `zh:voice`.
    """
    if language not in get_args(Language):
        return (Fault("language", f"'{language[:40]}'", "en or zh: Kling's speech has no other language"),)
    spoken = {known: voices | _extra(known, extra) for known, voices in VOICES.items()}
    if voice in spoken[language]:
        return ()
    others = [known for known, voices in spoken.items() if voice in voices]
    if others:
        return (Fault("voice", f"{voice!r} speaks {others[0]}, not {language}", f"language {others[0]}"),)
    near = get_close_matches(voice, sorted(spoken["en"] | spoken["zh"]), n=3)
    known_voices = f"one like {', '.join(near)}" if near else "one of the README's list of voices"
    allow = "or allowed by the extra voices of the CometAPI Credentials block"
    return (Fault("voice", f"{voice[:80]!r} is not known", f"{known_voices}, {allow}"),)


def _extra(language: str, extra: Collection[str]) -> set[str]:
    listed = (each.partition(":") for each in extra)
    return {voice for spoken, _, voice in listed if spoken == language}
