## On every page
error-prefix = Error:
error-summary = Something went wrong
skip = To the content
languages = Languages
help = Need help? Ask the organisation that sent you the message, and give the reference in the e-mail.
never = We never ask for a password or a payment.
weekdays = Sunday Monday Tuesday Wednesday Thursday Friday Saturday
months = January February March April May June July August September October November December

## Before the code is given
landing-title = Secure message from { $organisation }
landing-for = For
landing-received = Received
landing-until = Available until
landing-reference = Reference
landing-why = To be sure that it is you, we send a code to the number ending in { $digits }.
landing-send = Send the code by text message
landing-not-mine = This is not my number
code-title = Enter the code
code-sent = At { $time } we sent a text message to the number ending in { $digits }.
code-label = Code of 6 digits
code-hint = Valid until { $time }. After 3 wrong codes the message is locked.
code-open = Open message
code-again = Send the text message again
code-empty = Enter the code.
code-malformed = The code has 6 digits. { $count ->
    [one] You entered 1.
   *[other] You entered { $count }.
}
code-wrong = This code is not right. { $count ->
    [one] You have 1 try left. After that the message is locked.
   *[other] You have { $count } tries left.
}
code-expired = This code has expired or was used already. Ask for a new one.
code-too-soon = A text message was sent just now. You can ask for another one at { $time }.
code-spent = You asked for as many codes as we send. From { $time } you can ask for a code again.
code-unavailable = The text message could not be sent. Your message is still there. Try again in 5 minutes.
code-number-wrong = The text message could not be delivered to this number. { $organisation } is told and can correct the number.

## When it cannot go on
unknown-title = We do not know this link
unknown-text = Open the link from the e-mail again, or copy it completely. The message may also be no longer available, or your browser keeps no cookies.
expired-title = This message is no longer available
expired-text = It was available until { $time } and is deleted. Ask the sender to send it again.
locked-title = This message is locked
locked-text = A wrong code was entered 3 times. The message itself is safe and not deleted; it is kept until { $time }.
locked-next = { $organisation } was told and can release it. After that you ask for a new code.
blocked-title = You cannot try for a while
blocked-text = Too many wrong codes came from your internet address. From { $time } you can try again.
blocked-next = Your message is safe and not deleted. Is it locked after 3 wrong codes? Then { $organisation } was told and can release it.
doubt-title = Thank you, we pass it on
doubt-text = { $organisation } is told that the number is not right. You need not give the right number here. Once the number is corrected, open the link from the e-mail again.
session-title = The session has ended
session-text = Open the link from the e-mail again.
forbidden-title = This form is no longer valid
forbidden-text = Go back to the page, load it again and try once more. Nothing was changed.
trouble-title = That is not possible now
trouble-text = Something is out of order. Your message is still there. Try again in a few minutes.
back = Back

## The message
message-no-subject = (no subject)
message-from = From
message-to = To
message-date = Date
message-until = Can be opened until
message-body = Content of the message
message-text-only = Show text only
message-formatted = Show with layout
message-images = Images from elsewhere are not loaded.
message-too-large = This message is too large to be shown here. Save it and open it in your mail program.
message-files = { $count ->
    [one] 1 attachment
   *[other] { $count } attachments
}
message-download = Download { $name }
message-save = Save as .eml
message-close = Close
message-destroy = Destroy now
destroy-title = Destroy the message now?
destroy-text = The message and all attachments are deleted. That cannot be undone. Save it first if you want to keep it.
destroy-yes = Yes, destroy the message
destroy-no = No, go back
destroyed-title = The message is destroyed
destroyed-text = Nothing of it was kept.
closed-title = You closed the message
closed-text = With the link from the e-mail and a new code you can open it again, as long as it is available.

## For the sender
sender-missing-title = Telephone number needed
sender-missing-text = Your message to { $recipient } is not delivered yet. The recipient gets a code by text message; that needs a mobile number.
sender-waiting-title = Message to { $recipient }
sender-waiting-text = The message is waiting. Codes go to the number ending in { $digits }.
sender-locked-title = Message to { $recipient } is locked
sender-locked-text = A wrong code was entered 3 times. Do you know that it was the recipient? Then release the message. Is the number wrong? Then give another number.
sender-ended-title = There is nothing left to do here
sender-ended-text = The message is no longer in the vault.
sender-sent = Sent
sender-kept = Kept until
sender-why = Why not plain e-mail
sender-number = Mobile number of the recipient
sender-number-other = Another mobile number
sender-number-hint = For example 06 12345678 or +32 475 12 34 56.
sender-remember = What is this number for?
sender-this = For this message only
sender-organisation = Remember it for the whole organisation
sender-save = Save number
sender-release = Release
sender-again = Send the link again
sender-saved-title = The number is saved
sender-saved-text = Codes go to { $number }. The recipient gets an e-mail with a link.
sender-changed-text = From now on codes go to { $number }. The recipient can open the link from the e-mail again.
sender-released-title = The message is released
sender-released-text = The recipient can open the link from the e-mail again and gets a new code.
sender-again-title = The link is sent again
sender-again-text = The recipient gets an e-mail within a few minutes, unless they opened the message before: that is never shown here.
number-empty = Enter a number.
number-invalid = This number does not exist. A mobile number is for example 06 12345678.
number-fixed = This is not a mobile number. We cannot send a text message to it.
number-country = We send no text messages to this country.
